"""Harvests of sentences and memories made of them, against a scripted wiki on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bench.cli.main import main
from bench.data.images import image_folder
from bench.data.registry import resolve
from bench.data.web import (
    MemoryOptions,
    build_memory,
    crawl_images,
    harvest_sentences,
    sources,
)
from bench.data.web import split_sentences as splitting
from bench.data.web.icrawler import Crawled
from bench.data.web.sentences import read_sentences
from bench.encoders import load_encoder
from bench.utils.errors import BenchError
from tests.unit.data.scripted_wiki import Wiki, client, page, send
from tests.unit.pictures import lay_out, noise


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
