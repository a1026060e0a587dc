"""Memories are cut and joined without losing where their items come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from bench.data.images import image_folder
from bench.data.registry import resolve
from bench.data.web import MemoryOptions, build_memory, merge, subset
from bench.data.web.sentences import Sentence
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out

NAMES = ("cat", "dog", "cow")


def sentence(keyword: str, source: str, number: int) -> Sentence:
    text = f"A {keyword} of {source} number {number}."
    name = f"{source}/{keyword}/{number}"
    return Sentence(name, keyword, text, source, "t", "u", 1, "", "title", "now", f"{number:064d}")


@pytest.fixture(scope="module")
def memories(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two memories of one encoder, and one of another."""
    base = tmp_path_factory.mktemp("memories")
    made = []
    for k, (source, model) in enumerate((("one", "tiny-vit"), ("two", "tiny-vit"), ("one", "tiny-resnet"))):
        places = [f"{name}/{source}{n}.png" for name in NAMES for n in range(3)]
        root = lay_out(base / f"images{k}", {place: 20 * (k % 2) + n for n, place in enumerate(places)})
        images = image_folder(root)
        build_memory(
            NAMES,
            base / f"memory{k}",
            MemoryOptions(encoder=f"{model}:{tiny / model}.safetensors", name=f"memory{k}"),
            images=images,
            sentences=[sentence(name, source, n) for name in NAMES for n in range(2)],
            cache=None,
        )
        made.append(base / f"memory{k}")
    return made[0], made[1], made[2]


def test_merge_joins_and_keeps_equal_items_once(memories: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, two, _ = memories
    a, b = resolve(one), resolve(two)
    both = resolve(merge([one, two], tmp_path / "both", name="both"))
    assert both.name == "both"
    assert (len(both.memory.images), len(both.memory.texts)) == (18, 12)
    assert torch.equal(both.memory.images.x, torch.cat([a.memory.images.x, b.memory.images.x]))
    assert set(both.memory.texts.sources) == {"one", "two"}
    assert torch.equal(both.prompts.x, a.prompts.x)
    again = resolve(merge([one, tmp_path / "both"], tmp_path / "again", name="again"))
    assert again.memory.texts.ids.tolist() == both.memory.texts.ids.tolist()
    assert len(again.memory.images) == 18
    record = json.loads((tmp_path / "both/provenance.json").read_text())
    assert (len(record["images"]), len(record["texts"])) == (18, 12)


def test_subset_by_class_count_and_source(memories: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, two, _ = memories
    merge([one, two], tmp_path / "both", name="both")
    dogs = resolve(subset(tmp_path / "both", tmp_path / "dogs", classes=["dog"]))
    assert dogs.class_names == NAMES
    assert set(dogs.memory.images.labels.tolist()) == set(dogs.memory.texts.labels.tolist()) == {1}
    few = resolve(subset(tmp_path / "both", tmp_path / "few", per_class=1))
    assert sorted(few.memory.images.labels.tolist()) == few.memory.texts.labels.tolist() == [0, 1, 2]
    assert len(few.prompts) == 3
    second = resolve(subset(tmp_path / "both", tmp_path / "second", sources=["two"]))
    assert set(second.memory.texts.sources) == {"two"}
    assert torch.equal(second.memory.texts.x, resolve(two).memory.texts.x)
    record = json.loads((tmp_path / "second/provenance.json").read_text())
    assert {entry["source"] for entry in record["texts"]} == {"two"}


def test_what_does_not_fit(memories: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, _, other = memories
    cases = [
        (lambda: merge([one, other], tmp_path / "x", name="x"), "different encoders"),
        (lambda: merge([one], tmp_path / "x", name="x"), "at least two"),
        (lambda: subset(one, tmp_path / "x", classes=["dgo"]), "did you mean 'dog'"),
        (lambda: subset(one, tmp_path / "x", sources=["nowhere"]), "no source"),
        (lambda: subset(one, tmp_path / "x", per_class=0), "at least 1"),
    ]
    for act, message in cases:
        with pytest.raises(BenchError, match=message):
            act()
    assert not (tmp_path / "x").exists()


def test_a_memory_without_images(tiny: Path, tmp_path: Path) -> None:
    options = MemoryOptions(encoder=f"tiny-vit:{tiny}/tiny-vit.safetensors", name="m")
    for source in ("one", "two"):
        texts = [sentence(name, source, n) for name in NAMES for n in range(2)]
        build_memory(NAMES, tmp_path / source, options, images=None, sentences=texts, cache=None)
    both = resolve(merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both", name="both"))
    assert (len(both.memory.images), len(both.memory.texts)) == (0, 12)
    few = resolve(subset(tmp_path / "both", tmp_path / "few", sources=["one"], per_class=1))
    assert (len(few.memory.images), len(few.memory.texts)) == (0, 3)
    content = {"format": 1, "name": "x", "dimension": 2, "classes": ["a", "b"], "splits": {}, "roles": {}}
    (tmp_path / "pack.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(BenchError, match="is no memory"):
        subset(tmp_path, tmp_path / "x")
