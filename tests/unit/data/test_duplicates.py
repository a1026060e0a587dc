"""The audit finds planted and naive duplicates, by file, vector, pixels and cosine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode

from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.data.duplicates import audit, audit_by_name
from bench.data.image_hashes import read_pixels
from bench.data.images import image_folder
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.names import known
from bench.data.registry import resolve
from bench.runner.api import run
from bench.scenarios.supervised import Supervised
from bench.search import top_k
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out

NAMES = ("a", "b", "c")


def unit(rows: int, seed: int) -> torch.Tensor:
    x = np.random.default_rng(seed).standard_normal((rows, 24))
    return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)).float()


def features(x: torch.Tensor, name: str) -> Features:
    return Features(x, torch.arange(len(x)) % 3, np.array([f"{name}/{n}" for n in range(len(x))]), NAMES)


def near(x: torch.Tensor, cosine: float, seed: int) -> torch.Tensor:
    """Return unit vectors at exactly the given cosine to those of ``x``."""
    other = unit(len(x), seed)
    other = torch.nn.functional.normalize(other - (other * x).sum(1, keepdim=True) * x, dim=1)
    moved: torch.Tensor = cosine * x + (1 - cosine**2) ** 0.5 * other
    return moved


@pytest.fixture
def planted() -> Dataset:
    query, support, memory = features(unit(40, 1), "query"), features(unit(60, 2), "support"), unit(90, 3)
    support.x[10:13] = near(query.x[4:7], 0.98, 4)
    support.x[20] = query.x[8]
    memory[0:5] = near(query.x[10:15], 0.975, 5)
    memory[70:72] = near(query.x[10:12], 0.985, 6)
    memory[50] = near(query.x[30:31], 0.96, 7)[0]
    items = features(memory, "memory")
    return Dataset(
        card=Card(name="planted", revision="1"),
        class_names=NAMES,
        splits={"query": query, "support": support},
        roles={"query": ("query",), "support": ("support",)},
        prompts=Features.empty(24, NAMES),
        memory=Memory(Items.of_features(items, "web"), Items.empty(24)),
    )


def test_planted_duplicates_are_found_and_named(planted: Dataset) -> None:
    found = {(o.of, o.within): o for o in audit(planted).overlaps}
    support = found["query", "support"]
    assert [(p.item, p.other, p.how) for p in support.pairs] == [
        ("query/4", "support/10", "cosine"),
        ("query/5", "support/11", "cosine"),
        ("query/6", "support/12", "cosine"),
        ("query/8", "support/20", "vector"),
    ]
    assert [round(p.cosine, 3) for p in support.pairs] == [0.98, 0.98, 0.98, 1.0]
    assert [p.same_class for p in support.pairs] == [(4 + n) % 3 == (10 + n) % 3 for n in range(3)] + [8 % 3 == 20 % 3]
    memory = found["query", "memory"]
    assert [pair.item for pair in memory.pairs] == [f"query/{n}" for n in range(10, 15)]
    assert [p.other for p in memory.pairs][:2] == ["memory/70", "memory/71"]
    assert (support.count("vector"), support.items, found["support", "memory"].pairs) == (1, 40, ())
    assert len(audit(planted, threshold=0.955).overlaps[1].pairs) == 6


def test_the_threshold_is_the_data_sets_own_unless_another_is_asked_for(planted: Dataset) -> None:
    stricter = replace(planted, card=replace(planted.card, near=0.99))
    assert (planted.card.near, audit(planted).threshold, audit(stricter).threshold) == (0.97, 0.97, 0.99)
    assert audit(stricter, threshold=0.97) == audit(planted)
    assert [pair.item for pair in audit(stricter).overlaps[0].pairs] == ["query/8"]
    # The automatic check of a run goes by the card too: its cells are others, and fewer queries count.
    runs = []
    for dataset in (planted, stricter):
        (row,) = run(Supervised(shots=None), "knn", dataset, 1, device="cpu").to_dict("records")
        runs.append((row["cell"], row["n_near_duplicates"]))
    assert runs[0][0] != runs[1][0]
    assert runs[0][1] > runs[1][1]


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_the_audit_equals_the_full_similarity_matrix(planted: Dataset, threshold: float) -> None:
    q, m = planted.splits["query"], planted.memory.images
    expected = {str(q.ids[n]) for n in ((q.x @ m.x.T).max(1).values >= threshold).nonzero().squeeze(1).tolist()}
    found = audit(planted, threshold=threshold).overlaps[1]
    assert {pair.item for pair in found.pairs} == expected


def test_a_wrong_threshold(planted: Dataset) -> None:
    for threshold in (0.0, 1.5):
        with pytest.raises(BenchError, match="threshold"):
            audit(planted, threshold=threshold)


def test_a_memory_declared_from_the_support_is_no_leak(planted: Dataset) -> None:
    support = planted.splits["support"]
    ids = np.array([f"planted:support:{item}" for item in support.ids])
    memory = Memory(Items(support.x, support.labels, ids, np.full(len(ids), "planted:support")), Items.empty(24))
    found = {(o.of, o.within): o for o in audit(replace(planted, memory=memory)).overlaps}
    assert found["support", "memory"].pairs == ()
    assert len(found["query", "memory"].pairs) == 4


def test_without_queries_or_support_there_is_nothing_to_compare(planted: Dataset) -> None:
    empty = replace(planted, roles={}, memory=Memory.empty(24))
    assert audit(empty).overlaps == ()


def test_copies_are_found_by_their_pixels(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [f"{split}/{name}/{n}.png" for split in ("train", "test") for name in ("a", "bb") for n in range(3)]
    root = lay_out(tmp_path / "x", {place: seed for seed, place in enumerate(places)})
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((200, 160))
    smooth.save(root / "train/a/copied.png")
    smooth.resize((90, 72)).save(root / "test/a/copy.jpg", quality=70)
    (root / "test/bb/same.png").write_bytes((root / "train/a/0.png").read_bytes())
    options = EncodeOptions(
        encoder=f"tiny-vit:{tiny}/tiny-vit.safetensors", name="x", templates="photo", memory=("train",)
    )
    encode_pack(image_folder(root), tmp_path / "pack", options, cache=None)
    dataset, pixels = resolve(tmp_path / "pack"), read_pixels(tmp_path / "pack")
    # A threshold that the random encoder's features never reach unless they are equal.
    found = audit(dataset, threshold=1.0, pixels=pixels)
    pairs = {
        (o.within, p.item, p.other, p.how, p.same_class) for o in found.overlaps if o.of == "query" for p in o.pairs
    }
    assert ("support", "test/a/copy.jpg", "train/a/copied.png", "pixels", True) in pairs
    assert ("support", "test/bb/same.png", "train/a/0.png", "file", False) in pairs
    assert ("memory", "test/a/copy.jpg", "train:train/a/copied.png", "pixels", True) in pairs
    assert {item for _, item, *_ in pairs} == {"test/a/copy.jpg", "test/bb/same.png"}
    monkeypatch.setenv("BENCH_PACKS", str(tmp_path))
    for name in ("x", str(tmp_path / "pack")):
        assert audit_by_name(name, threshold=1.0) == found
    assert audit_by_name("digits").overlaps[0].of == "query"
    text = found.as_text()
    assert "test/a/copy.jpg" in text
    assert found.as_dict(pairs=False)["overlaps"][0]["exact"] == 1


class Largest(TorchFunctionMode):
    """Remembers the number of elements of the largest tensor that any function of torch returns."""

    elements = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.elements = max(self.elements, made.numel())
        return made


def test_the_search_behind_it_forms_no_full_matrix() -> None:
    queries, items = unit(600, 1), unit(100_000, 2)
    with Largest() as watch:
        top_k(queries, items, 2)
    assert items.numel() <= watch.elements <= 1 << 24 < len(queries) * len(items)


@pytest.mark.skipif("oxford_flowers" not in known(), reason="needs the pack oxford_flowers in BENCH_PACKS")
def test_known_near_duplicates_of_real_features() -> None:
    found = {(o.of, o.within): o for o in audit_by_name("oxford_flowers").overlaps}
    assert found["query", "support"].count("cosine") > 100
