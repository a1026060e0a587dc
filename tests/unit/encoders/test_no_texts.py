"""An encoder without a text tower makes no class text: in packs, memories, classifiers and bundled drawings."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from bench.cache import FeatureCache
from bench.classifier.data import photographs
from bench.data.glyphs.dataset import Size, load
from bench.data.images import image_folder
from bench.data.registry import resolve
from bench.data.web import MemoryOptions, build_memory
from bench.data.web.sentences import read_sentences
from bench.encoders import load_encoder
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out

NAME = "test_vit3.r160_in1k"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("timm") / "weights.pth"
    with torch.random.fork_rng(devices=[]):
        torch.save(timm.create_model(NAME).state_dict(), path)
    return f"timm:{NAME}:{path}"


def test_a_memory_of_images_has_no_texts_and_one_of_texts_is_refused(spec: str, tmp_path: Path) -> None:
    names, options = ["cat", "dog"], MemoryOptions(encoder=spec, name="m")
    pictures = image_folder(lay_out(tmp_path / "images", {"cat/1.png": 1, "dog/1.png": 2}))
    built = build_memory(names, tmp_path / "pack", options, images=pictures, sentences=[], cache=None)
    dataset = resolve(tmp_path / "pack")
    assert (len(dataset.memory.images), len(dataset.memory.texts), len(dataset.prompts)) == (2, 0, 0)
    assert any("has no text tower" in said for said in built.warnings)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "cat.txt").write_text("A cat.\n")
    sentences = read_sentences(tmp_path / "texts", names)
    with pytest.raises(BenchError, match=r"has no text tower.*leave --texts out") as caught:
        build_memory(names, tmp_path / "no", options, images=None, sentences=sentences, cache=None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "no").exists()


def test_a_classifier_of_photographs_has_no_class_texts(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = lay_out(tmp_path / "x", {f"{c}/{n}.png": n for c in ("cat", "dog") for n in (1, 2)})
    read = photographs(folder, load_encoder(spec))
    assert (len(read.dataset.prompts), read.reference.templates) == (0, ())
    assert read.dataset.card.encoder_texts == "none"


def test_bundled_drawings_in_such_a_space(spec: str, tmp_path: Path) -> None:
    size = Size(seen=2, validation=1, unseen=1, support=1, query=1, held_out=1, images=1, sentences=1)
    dataset = load(size, encoder=spec, cache=FeatureCache(tmp_path / "cache"))
    dataset.check()
    assert (len(dataset.prompts), len(dataset.memory.texts)) == (0, 0)
    assert len(dataset.memory.images)
