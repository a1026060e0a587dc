"""Image search through the real icrawler: its feeders, parsers and threads, with the engines played on loopback."""

from __future__ import annotations

import io
import json
import logging
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.cache.store import content_key
from bench.data.images.items import Unusable
from bench.data.web import crawl_images, icrawler
from bench.data.web.icrawler import Crawled, fetch
from bench.data.web.sources import collect_images
from bench.utils.errors import BenchError
from tests.unit.pictures import noise


def encoded(seed: int, kind: str = "JPEG", **more: Any) -> bytes:
    buffer = io.BytesIO()
    noise(seed, size=(8, 8)).save(buffer, kind, **more)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG whose header claims 60000 x 60000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


class Web:
    """Search engines and pictures on loopback; pictures that cannot be used come first."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[str] = []
        self.first = [
            ("garbage.jpg", 200, b"<html>we are sorry</html>"),
            ("gone.jpg", 404, b""),
            ("bomb.jpg", 200, bomb()),
            ("moving.jpg", 200, encoded(1, "GIF", save_all=True, append_images=[noise(2, size=(8, 8))])),
            ("cut.jpg", 200, encoded(3)[:-200]),
            ("huge.jpg", 200, bytes(40_000)),
        ]
        self.pictures = {name: (status, body) for name, status, body in self.first}
        self.pictures |= {f"{n}.jpg": (200, encoded(n, "PNG" if n == 101 else "JPEG")) for n in range(100, 130)}

    @property
    def urls(self) -> list[str]:
        return [f"{self.address}/pictures/{name}" for name in self.pictures]

    def reply(self, url: str) -> tuple[int, bytes]:
        path, query = urlsplit(url).path, {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
        name = path.rsplit("/", 1)[-1]
        if path.startswith("/pictures/"):
            return self.pictures[name]
        self.asked.append(query.get("q") or query.get("text") or "")
        if path == "/search":
            return 200, f"<html><script>var a = {json.dumps([[u] for u in self.urls])};</script></html>".encode()
        if path == "/images/async":
            if query["first"] == "0":  # a page of a form that the parser does not know
                return 200, b'<div class="imgpt"></div>'
            return 200, "".join(
                f"<div class='imgpt'><a m='{json.dumps({'murl': u}, separators=(',', ':'))}'></a></div>"
                for u in self.urls
            ).encode()
        assert (path, query["api_key"]) == ("/services/rest/", "a-key")
        if query["method"] == "flickr.photos.search":
            photos = [{"id": str(n)} for n in range(len(self.urls))]
            return 200, json.dumps({"stat": "ok", "photos": {"photo": photos}}).encode()
        sizes = [{"label": "Large", "source": self.urls[int(query["photo_id"])]}]
        return 200, json.dumps({"stat": "ok", "sizes": {"size": sizes}}).encode()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    crawler = pytest.importorskip("icrawler.crawler")
    played = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = played.reply(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up on a huge file is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    played.address = f"http://127.0.0.1:{server.server_port}"

    class Rerouted(crawler.Session):  # type: ignore[misc]
        def get(self, url: str, **more: Any) -> Any:
            parts = urlsplit(url)
            return super().get(f"{played.address}{parts.path}?{parts.query}", **more)

    monkeypatch.setattr(crawler, "Session", Rerouted)
    monkeypatch.setenv("FLICKR_APIKEY", "a-key")
    monkeypatch.setattr(icrawler, "MAX_BYTES", 30_000)
    yield played
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("engine", "count"), [("google", 3), ("bing", 21), ("flickr", 3)])
def test_a_search_end_to_end(
    web: Web, tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: str, count: int
) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    wanted: dict[str, Any] = {"per_class": count, "allow_private": ("127.0.0.1",)}
    source, entries = collect_images(f"icrawler:{engine}", ["salt_&_pepper"], tmp_path, **wanted)
    assert source is not None
    assert set(web.asked) == {"salt & pepper"} | ({""} if engine == "flickr" else set())
    assert [item.class_name for item in source.items] == ["salt_&_pepper"] * count
    noted = {entry["file"]: entry for entry in entries if "file" in entry}
    good = [url for url in web.urls if url.rsplit("/", 1)[-1][0].isdigit()]
    assert [noted[item.id]["url"] for item in source.items] == good[:count]
    for item, url in zip(source.items, good, strict=False):
        assert item.read() == web.pictures[url.rsplit("/", 1)[-1]][1]
        assert noted[item.id]["sha256"] == content_key(item.read())
        assert (noted[item.id]["source"], noted[item.id]["keyword"]) == (engine, "salt_&_pepper")
    assert Path(source.items[1].id).name == "000002.png"  # the ending of what it is, whatever its address says
    reasons = {entry["url"].rsplit("/", 1)[-1]: entry["reason"] for entry in entries if "reason" in entry}
    assert reasons.keys() == {name for name, *_ in web.first}
    for name, reason in (
        ("garbage", "not an image"), ("gone", "404"), ("bomb", "bomb"), ("moving", "animated"), ("cut", "corrupt"),
        ("huge", "huge file"),
    ):  # fmt: skip
        assert reason in reasons[f"{name}.jpg"]
    for thread in threading.enumerate():  # the crawler does not wait for those that still look for more
        if thread.name.startswith("parser-"):
            thread.join(60)
            assert not thread.is_alive()
    asked = len(web.asked)
    again, same = collect_images(f"icrawler:{engine}", ["salt_&_pepper"], tmp_path, **wanted)
    assert (len(web.asked), same) == (asked, entries)
    assert again is not None
    assert (root.level, root.handlers) == before
    assert capfd.readouterr() == ("", "")


def test_a_stopped_search_begins_its_class_anew(tmp_path: Path) -> None:
    def stopped(keyword: str, folder: Path, count: int) -> Crawled:
        noise(1).save(folder / "000001.png")
        raise KeyboardInterrupt

    def crawl(keyword: str, folder: Path, count: int) -> Crawled:
        assert not list(folder.iterdir())
        noise(2).save(folder / "000002.png")
        return Crawled({"000002.png": "https://example.org/2"})

    with pytest.raises(KeyboardInterrupt):
        crawl_images(["cat"], "google", tmp_path, crawl=stopped)
    assert not list(tmp_path.glob("images/*/*"))
    folder = crawl_images(["cat"], "google", tmp_path, crawl=crawl)
    assert [path.name for path in (folder / "cat").iterdir()] == ["000002.png"]
    (entry,) = json.loads((tmp_path / "provenance/cat.json").read_text())
    assert entry["url"] == "https://example.org/2"


def test_classes_without_images_are_asked_for_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def crawl(keyword: str, folder: Path, count: int) -> Crawled:
        asked.append(keyword)
        if keyword == "dog":
            noise(1).save(folder / "1.png")
            return Crawled({"1.png": "u"})
        return Crawled({}, {"https://example.org": "HTTP status 403"})

    with pytest.raises(BenchError, match="no image for any class"):
        crawl_images(["a", "b"], "google", tmp_path, crawl=crawl)
    asked.clear()
    crawl_images(["a", "b", "dog", "c", "d"], "google", tmp_path, crawl=crawl)
    assert asked == ["a", "b", "dog", "c", "d"]
    with pytest.raises(BenchError, match=r"3 classes in a row, the last 'c' \(HTTP status 403\)") as caught:
        crawl_images(["a", "b", "dog", "c", "d"], "google", tmp_path, crawl=crawl)
    assert asked[5:] == ["a", "b", "c"]
    assert "\n" not in str(caught.value)


def test_an_address_that_does_not_answer() -> None:
    requests = pytest.importorskip("requests")
    for address in ("http://127.0.0.1:1/a.jpg", "http://[bad/a.jpg", "ftp://127.0.0.1/a.jpg"):
        with pytest.raises(Unusable, match="no answer"):
            fetch(requests.Session(), address, timeout=2, attempts=2)


def test_what_a_search_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="did you mean 'google'"):
        crawl_images(["cat"], "gogle", tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "icrawler", None)
        patch.setitem(sys.modules, "icrawler.builtin", None)
        with pytest.raises(BenchError, match=r"pip install 'retrieval-bench\[web\]'"):
            crawl_images(["cat"], "google", tmp_path)
    pytest.importorskip("icrawler")
    monkeypatch.delenv("FLICKR_APIKEY", raising=False)
    with pytest.raises(BenchError, match="FLICKR_APIKEY"):
        crawl_images(["cat"], "flickr", tmp_path)
