"""The MediaWiki client and the memory builder, against a server on loopback."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import torch
from click.testing import CliRunner

from bench.cli.main import main
from bench.data.images import image_folder
from bench.data.registry import resolve
from bench.data.web import (
    MemoryOptions,
    WikiClient,
    build_memory,
    crawl_images,
    harvest_sentences,
    sources,
    wikipedia,
)
from bench.data.web import split_sentences as splitting
from bench.data.web.icrawler import Crawled
from bench.data.web.reading import OverLimit, read_bounded
from bench.data.web.sentences import read_sentences
from bench.data.web.split_sentences import split_sentences
from bench.data.web.wikipedia import Unanswered, Unreachable
from bench.encoders import load_encoder
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out, noise

TEXT = (
    "The crane is a large bird of the family Gruidae. It was described by Dr. Smith in 1758, e.g. in his book.\n"
    "Habitat\nIt lives in wet places! Does it migrate in autumn? Yes, it does so every year.\nSee also"
)


def page(title: str, revision: int, text: str = TEXT, **more: Any) -> dict[str, Any]:
    """A page as the real API replies, formatversion 2."""
    return {
        "pageid": revision * 10,
        "ns": 0,
        "title": title,
        "extract": text,
        "revisions": [{"revid": revision, "parentid": revision - 1, "timestamp": "2026-01-02T03:04:05Z"}],
        "fullurl": f"https://en.wikipedia.org/wiki/{title.replace(' ', '_')}",
        **more,
    }


class Wiki:
    """A scripted wiki: pages by title, hits by search, and failures that come first."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self.redirects: dict[str, str] = {}
        self.hits: dict[str, list[str]] = {}
        self.failures: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.asked: list[dict[str, str]] = []
        self.agents: list[str] = []

    def reply(self, query: dict[str, str]) -> dict[str, Any]:
        if query.get("list") == "search":
            titles = self.hits.get(query["srsearch"], [])
            return {"batchcomplete": True, "query": {"search": [{"ns": 0, "title": t} for t in titles]}}
        title = query["titles"]
        found: dict[str, Any] = {}
        if title in self.redirects:
            found["redirects"] = [{"from": title, "to": self.redirects[title]}]
            title = self.redirects[title]
        found["pages"] = [self.pages.get(title, {"ns": 0, "title": title, "missing": True})]
        return {"batchcomplete": True, "query": found}


@pytest.fixture
def wiki() -> Iterator[tuple[Wiki, str]]:
    scripted = Wiki()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scripted.agents.append(self.headers["User-Agent"])
            scripted.asked.append({k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()})
            if scripted.failures:
                scripted.failures.pop(0)(self)
                return
            send(self, json.dumps(scripted.reply(scripted.asked[-1])).encode())

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that gave up waiting is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield scripted, f"http://127.0.0.1:{server.server_port}/w/api.php"
    server.shutdown()
    server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def client(address: str, **more: Any) -> tuple[WikiClient, list[float]]:
    """A client that does not sleep, and the list of what it would have slept."""
    slept: list[float] = []
    options = {"interval_seconds": 0.0, "timeout_seconds": 60.0, "sleep": slept.append, **more}
    trusted = {"allow_private": ("127.0.0.1",)}
    return WikiClient(contact="me@example.org", endpoint=address, **(trusted | options)), slept


def test_an_article_with_its_revision(wiki: tuple[Wiki, str]) -> None:
    scripted, address = wiki
    scripted.pages["Crane (bird)"] = page("Crane (bird)", 7)
    scripted.redirects["crane"] = "Crane (bird)"
    asker, _ = client(address)
    (article,) = asker.articles("crane")
    assert (article.title, article.revision, article.timestamp) == ("Crane (bird)", 7, "2026-01-02T03:04:05Z")
    assert (article.found_by, article.url) == ("redirect", "https://en.wikipedia.org/wiki/Crane_(bird)")
    assert article.text == TEXT
    assert "me@example.org" in scripted.agents[0]
    assert scripted.agents[0].startswith("retrieval-bench/")
    assert {k: scripted.asked[0][k] for k in ("maxlag", "formatversion", "redirects")} == {
        "maxlag": "5", "formatversion": "2", "redirects": "1",
    }  # fmt: skip


def test_disambiguation_and_missing_titles_are_searched_for(wiki: tuple[Wiki, str]) -> None:
    scripted, address = wiki
    scripted.pages["Crane"] = page("Crane", 1, "Crane may refer to:", pageprops={"disambiguation": ""})
    scripted.pages["Crane (machine)"] = page("Crane (machine)", 2)
    scripted.pages["Crane fly"] = page("Crane fly", 3)
    scripted.hits["Crane machine"] = ["Crane", "Gone", "Crane (machine)", "Crane fly"]
    asker, _ = client(address)
    (article,) = asker.articles("Crane", hint="machine")
    assert (article.title, article.found_by) == ("Crane (machine)", "search")
    assert [a.title for a in asker.articles("Crane", hint="machine", limit=2)] == ["Crane (machine)", "Crane fly"]
    assert list(asker.articles("nothing at all")) == []


def garbage(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"<html>we are sorry</html>")


def a_list(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"[1, 2]")


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"query": ')


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def slow(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)
    garbage(handler)


def lagged(handler: BaseHTTPRequestHandler) -> None:
    error = {"error": {"code": "maxlag", "info": "Waiting for a database server: 7 seconds lagged.", "lag": 7}}
    send(handler, json.dumps(error).encode(), Retry_After="5")


def busy(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"too many requests", 429, Retry_After="9")


def broken(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", 503)


@pytest.mark.parametrize("failure", [garbage, a_list, cut, hang_up, slow, lagged, busy, broken])
def test_errors_that_pass_are_waited_for(wiki: tuple[Wiki, str], failure: Callable[[Any], None]) -> None:
    scripted, address = wiki
    scripted.pages["dog"] = page("dog", 1)
    scripted.failures = [failure, failure]
    asker, slept = client(address)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        # A busy machine may be slow without being asked to, so that what is to be answered gets its time.
        asker.timeout_seconds = 0.3 if failure is slow and len(slept) < 2 else 60.0

    asker.sleep, asker.timeout_seconds = sleep, 0.3 if failure is slow else 60.0
    (article,) = asker.articles("dog")
    assert article.revision == 1
    assert len(scripted.asked) == 3
    waits: dict[object, list[float]] = {lagged: [5.0, 5.0], busy: [9.0, 9.0]}
    assert slept == waits.get(failure, [1.0, 2.0])


@pytest.mark.parametrize(
    ("header", "waited"),
    [("9", 9.0), ("100000", 300.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", 1.0), ("-3", 1.0)],
)
def test_a_server_says_how_long_to_wait(wiki: tuple[Wiki, str], header: str, waited: float) -> None:
    scripted, address = wiki
    scripted.pages["dog"] = page("dog", 1)
    scripted.failures = [lambda handler: send(handler, b"", 429, Retry_After=header)]
    asker, slept = client(address)
    list(asker.articles("dog"))
    assert slept == [waited]


def test_a_huge_answer_is_not_read_and_not_asked_for_again(
    wiki: tuple[Wiki, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted, address = wiki
    monkeypatch.setattr(wikipedia, "_MAX_REPLY_BYTES", 100)
    scripted.failures = [lambda handler: send(handler, b" " * 1000)]
    with pytest.raises(Unanswered, match="huge file of more than 100 bytes"):
        list(client(address)[0].articles("dog"))
    assert len(scripted.asked) == 1


def test_a_slow_answer_ends() -> None:
    answer = requests.Response()
    answer.raw = io.BytesIO(b"some bytes")
    with pytest.raises(OverLimit, match="not complete after 0 seconds"):
        read_bounded(answer, 100, 0.0)


def test_errors_that_stay(wiki: tuple[Wiki, str]) -> None:
    scripted, address = wiki
    asker, slept = client(address, retries=2)
    scripted.failures = [garbage] * 3
    with pytest.raises(Unanswered, match="not JSON"):
        list(asker.articles("dog"))
    assert slept == [1.0, 2.0]
    scripted.failures = [lambda handler: send(handler, b"no", 403)]
    with pytest.raises(Unanswered, match="403"):
        list(asker.articles("dog"))
    scripted.failures = [lambda handler: send(handler, b'{"error": {"code": "badvalue", "info": "no such thing"}}')]
    with pytest.raises(Unanswered, match="badvalue: no such thing"):
        list(asker.articles("dog"))
    assert len(scripted.asked) == 5
    nobody, _ = client("http://127.0.0.1:1/api.php", retries=0)
    with pytest.raises(Unreachable, match="no answer"):
        list(nobody.articles("dog"))


@pytest.mark.parametrize(
    "odd",
    [{"query": None}, {"query": {"pages": "x"}}, {"query": {"pages": [3]}}, {"query": {"pages": []}}, {}],
)
def test_strange_replies_are_not_remembered_as_no_article(
    wiki: tuple[Wiki, str], tmp_path: Path, odd: dict[str, Any]
) -> None:
    scripted, address = wiki
    plain = scripted.reply
    scripted.reply = lambda query: odd  # type: ignore[method-assign]
    found, aside = harvest_sentences(["dog"], client(address)[0], tmp_path)
    assert (found, [one.id for one in aside]) == ([], ["dog"])
    assert not list(tmp_path.iterdir())
    scripted.reply = plain  # type: ignore[method-assign]
    scripted.pages["dog"] = page("dog", 1)
    assert harvest_sentences(["dog"], client(address)[0], tmp_path)[0]


@pytest.mark.parametrize("more", [{"extract": ["x"]}, {"revisions": []}, {"revisions": [{"revid": "7"}]}])
def test_an_article_without_text_or_revision_is_no_answer(wiki: tuple[Wiki, str], more: dict[str, Any]) -> None:
    scripted, address = wiki
    scripted.pages["dog"] = page("dog", 1) | more
    with pytest.raises(Unanswered, match="lacks a text or a revision"):
        list(client(address)[0].articles("dog"))


def test_requests_keep_their_distance(wiki: tuple[Wiki, str]) -> None:
    scripted, address = wiki
    scripted.pages |= {name: page(name, 1) for name in "abc"}
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    asker = WikiClient(
        "me@example.org", address, interval_seconds=2.0, allow_private=["127.0.0.1"], sleep=sleep, clock=lambda: now[0]
    )
    for name in "abc":
        list(asker.articles(name))
    assert slept == [2.0, 2.0]


@pytest.mark.parametrize(("contact", "endpoint"), [("", "https://x"), ("a\nb", "https://x"), ("a", "file:///etc")])
def test_wrong_clients(contact: str, endpoint: str) -> None:
    with pytest.raises(BenchError):
        WikiClient(contact, endpoint)


def test_sentences() -> None:
    assert split_sentences(TEXT) == [
        "The crane is a large bird of the family Gruidae.",
        "It was described by Dr. Smith in 1758, e.g. in his book.",
        "It lives in wet places!",
        "Does it migrate in autumn?",
        "Yes, it does so every year.",
    ]
    assert split_sentences('He said "it is so." Then J. R. Tolkien went out. 1 of 3.5 m is high.') == [
        'He said "it is so."',
        "Then J. R. Tolkien went out.",
        "1 of 3.5 m is high.",
    ]
    assert split_sentences("Too short. " + "word " * 70 + "end.") == []
    assert split_sentences("The same thing is here. The same thing is here.") == ["The same thing is here."]


def test_sentences_by_pysbd(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pysbd", None)
        with pytest.raises(BenchError, match=r"pip install 'retrieval-bench\[web\]'"):
            split_sentences(TEXT, splitter="pysbd")
    pytest.importorskip("pysbd")
    assert split_sentences(TEXT, splitter="pysbd") == split_sentences(TEXT)
    # Where the two differ, so that it is not the rules that answered.
    odd = "The firm is Yahoo! Inc. of California and nothing else."
    assert split_sentences(odd, splitter="pysbd") == [odd]
    assert odd not in split_sentences(odd, shortest=1)


def test_a_harvest_goes_on_where_it_stopped(wiki: tuple[Wiki, str], tmp_path: Path) -> None:
    scripted, address = wiki
    scripted.pages |= {"crane": page("crane", 1), "dog": page("dog", 2, "The dog is an animal. It barks at the cat.")}
    asker, _ = client(address, retries=0)
    scripted.failures = [lambda handler: None, lambda handler: send(handler, b"no", 403)]
    scripted.failures[0] = lambda handler: send(handler, json.dumps(scripted.reply(scripted.asked[-1])).encode())
    found, aside = harvest_sentences(["crane", "dog", "nothing"], asker, tmp_path, per_class=2)
    assert [(s.keyword, s.revision, s.url) for s in found] == [("crane", 1, "https://en.wikipedia.org/wiki/crane")] * 2
    assert [(a.id, a.reason) for a in aside] == [("dog", "HTTP status 403"), ("nothing", "no article was found")]
    assert all(s.retrieved.endswith("Z") and len(s.sha256) == 64 for s in found)
    before = len(scripted.asked)
    found, aside = harvest_sentences(["crane", "dog", "nothing"], asker, tmp_path, per_class=2)
    assert [s.keyword for s in found] == ["crane", "crane", "dog", "dog"]
    assert len(scripted.asked) == before + 1
    assert [a.id for a in aside] == ["nothing"]
    for path in tmp_path.iterdir():
        path.write_text("{")
    with pytest.raises(BenchError, match="damaged"):
        harvest_sentences(["crane"], asker, tmp_path, per_class=2)


def test_hints_and_splitter_reach_the_harvest_from_the_command_line(
    tiny: Path, wiki: tuple[Wiki, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted, address = wiki
    asker, _ = client(address)
    monkeypatch.setattr(sources, "WikiClient", lambda contact, **_: asker)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    text = "The crane lifts things all day. It is tall and it is made of steel."
    scripted.pages["crane"] = page("crane", 1, "crane may refer to:", pageprops={"disambiguation": ""})
    scripted.pages["Crane (machine)"] = page("Crane (machine)", 2, text)
    scripted.pages["Crane (bird)"] = page("Crane (bird)", 3, text)
    scripted.hits |= {"crane machine": ["Crane (machine)"], "crane": ["Crane (bird)"]}
    (tmp_path / "classes.txt").write_text("crane\n")
    (tmp_path / "hints.yaml").write_text("crane: machine\n")
    common = ["memory", "build", "--texts", "wikipedia", "--contact", "a@b.c", "--device", "cpu"]
    common += ["--classes", str(tmp_path / "classes.txt"), "--out", str(tmp_path / "p")]
    common += ["--encoder", f"tiny-vit:{tiny / 'tiny-vit.safetensors'}"]

    def built(*more: str) -> list[dict[str, Any]]:
        done = CliRunner().invoke(main, [*common, *more])
        assert done.exit_code == 0, done.output
        found: list[dict[str, Any]] = json.loads((tmp_path / "p" / "provenance.json").read_text())["texts"]
        return found

    called: list[str] = []
    pysbd = splitting._pysbd

    def watched(paragraph: str) -> list[str]:
        called.append(paragraph)
        return pysbd(paragraph)

    monkeypatch.setattr(splitting, "_pysbd", watched)
    assert {s["title"] for s in built()} == {"Crane (bird)"}
    assert not called
    # Another hint is another question: what was kept for the first is not taken for an answer to it.
    assert {s["title"] for s in built("--hints", str(tmp_path / "hints.yaml"))} == {"Crane (machine)"}
    assert not called
    pytest.importorskip("pysbd")
    built("--splitter", "pysbd")
    assert called == [text]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("crain: bird", "did you mean 'crane'"),
        ("- crane", "one hint a class"),
        ("crane: {", "damaged"),
        (None, "cannot"),
    ],
)
def test_hints_that_do_not_fit(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "hints.yaml").write_text(content)
    with pytest.raises(BenchError, match=message) as caught:
        sources.read_hints(tmp_path / "hints.yaml", ["crane", "dog"])
    assert "\n" not in str(caught.value)


def test_a_wiki_out_of_reach_ends_the_harvest(tmp_path: Path) -> None:
    asker, _ = client("http://127.0.0.1:1/api.php", retries=0)
    with pytest.raises(BenchError, match="cannot be reached") as caught:
        harvest_sentences(["a", "b", "c", "d"], asker, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(BenchError, match="differ only in case"):
        harvest_sentences(["a", "A"], asker, tmp_path)


def test_a_memory_pack_keeps_where_everything_is_from(tiny: Path, wiki: tuple[Wiki, str], tmp_path: Path) -> None:
    scripted, address = wiki
    names = ["crane", "big_dog"]
    scripted.pages |= {"crane": page("crane", 1), "big dog": page("big dog", 2)}

    def crawl(keyword: str, folder: Path, count: int) -> Crawled:
        for n in range(count):
            noise(n + len(keyword)).save(folder / f"{n:03}.png")
        (folder / "zzz.png").write_bytes(b"<html>")
        place = f"https://example.org/{keyword.replace(' ', '_')}"
        return Crawled({f"{n:03}.png": f"{place}/{n}" for n in range(count)}, {f"{place}/gone": "HTTP status 404"})

    folder = crawl_images(names, "google", tmp_path / "raw", per_class=2, crawl=crawl)

    def never(*_: object) -> Crawled:
        raise AssertionError("asked again")

    assert crawl_images(names, "google", tmp_path / "raw", crawl=never) == folder
    noted = [entry for name in names for entry in json.loads((tmp_path / f"raw/provenance/{name}.json").read_text())]
    asker, _ = client(address)
    sentences, aside = harvest_sentences(names, asker, tmp_path / "texts")
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    build = build_memory(
        names,
        tmp_path / "pack",
        MemoryOptions(encoder=spec, name="memory"),
        images=image_folder(folder),
        sentences=sentences,
        cache=None,
        set_aside=aside,
        provenance=noted,
    )
    dataset = resolve(tmp_path / "pack")
    assert dataset.class_names == ("crane", "big_dog")
    assert (len(dataset.memory.images), len(dataset.memory.texts), len(dataset.prompts)) == (4, 10, 2)
    assert dataset.memory.images.labels.bincount().tolist() == [2, 2]
    gone = {f"https://example.org/{name}/gone" for name in names}
    assert {a.id for a in build.set_aside} == {"crane/zzz.png", "big_dog/zzz.png", *gone}
    direct = load_encoder(spec).encode_texts([s.text for s in sentences]).x
    assert torch.allclose(dataset.memory.texts.x, direct, atol=1e-5)
    record = json.loads((tmp_path / "pack/provenance.json").read_text())
    assert [i["url"][-2:] for i in record["images"]] == ["/0", "/1"] * 2
    assert record["images"][0]["source"] == "google"
    assert {"sha256", "keyword", "retrieved"} <= set(record["images"][0])
    assert [t["revision"] for t in record["texts"]] == [1] * 5 + [2] * 5
    assert len(record["set_aside"]) == 4


def test_texts_from_a_folder_and_what_does_not_fit(tiny: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    with pytest.raises(BenchError, match="no text for any class"):
        read_sentences(texts, ["cat"])
    (texts / "cat.txt").write_text("A cat.\n\nA cat.\nAnother cat.\n")
    sentences = read_sentences(texts, ["cat", "dog"])
    assert [(s.text, s.source) for s in sentences] == [("A cat.", "texts"), ("Another cat.", "texts")]
    options = MemoryOptions(encoder=f"tiny-vit:{tiny}/tiny-vit.safetensors", name="m")
    build_memory(["cat", "dog"], tmp_path / "pack", options, images=None, sentences=sentences, cache=None)
    assert len(resolve(tmp_path / "pack").memory.texts) == 2
    cats = image_folder(lay_out(tmp_path / "cats", {"cat/1.png": 1}))
    built = build_memory(["cat", "dog"], tmp_path / "p1", options, images=cats, sentences=[], cache=None)
    assert built.warnings == ["1 of 2 classes have no image, e.g. dog"]
    stray = image_folder(lay_out(tmp_path / "images", {"cat/1.png": 1, "cow/1.png": 2}))
    with pytest.raises(BenchError, match="'cow' is none of the classes"):
        build_memory(["cat", "dog"], tmp_path / "p2", options, images=stray, sentences=[], cache=None)
    with pytest.raises(BenchError, match="give --images or --texts"):
        build_memory(["cat", "dog"], tmp_path / "p2", options, images=None, sentences=[], cache=None)
    with pytest.raises(BenchError, match="has a separator of folders"):
        crawl_images(["a/b"], "google", tmp_path / "raw", crawl=lambda *_: Crawled())
