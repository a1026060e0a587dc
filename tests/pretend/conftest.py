"""Small data sets of the three kinds there are, made once a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bench.cache import FeatureCache
from bench.core.dataset import Dataset
from bench.data.digits import load as load_digits
from bench.data.glyphs.dataset import Size
from bench.data.glyphs.dataset import load as load_glyphs
from bench.data.import_features import Options, import_pack
from bench.data.registry import resolve
from bench.utils.random import Stream

CLASSES = 8
DIMENSION = 16


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Return the digits with 5 support, 2 validation and 3 query images a class, and neither texts nor a memory."""
    whole = load_digits()
    kept = {"support": 5, "validation": 2, "query": 3}
    splits = {name: whole.splits[name] for name in kept}
    few = {
        name: split.take(np.sort(np.concatenate([np.flatnonzero(split.labels == c)[: kept[name]] for c in range(10)])))
        for name, split in splits.items()
    }
    return replace(whole, splits=few)


@pytest.fixture(scope="session")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a few glyphs with texts, a memory from the simulated web, and pictures that are drawn once."""
    size = Size(seen=4, validation=2, unseen=4, support=4, query=2, held_out=2, images=3, sentences=2)
    data = load_glyphs(size, cache=FeatureCache(tmp_path_factory.mktemp("cache")))
    assert data.pictures is not None
    read = {name: cache(draw) for name, draw in data.pictures.read.items()}
    return replace(data, pictures=replace(data.pictures, read=read))


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return an imported feature pack with an image memory and texts, drawn around one centre a class."""
    folder = tmp_path_factory.mktemp("packs")
    draw = Stream(0).child("pack").numpy()
    centres = draw.standard_normal((CLASSES, DIMENSION))

    def around(per_class: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(CLASSES), per_class)
        x = centres[labels] + spread * draw.standard_normal((len(labels), DIMENSION))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels

    arrays = {}
    # Wide enough that classes overlap: an answer that nothing can change would show no difference.
    for split, per_class, spread in (("train", 6, 0.8), ("val", 3, 0.8), ("test", 4, 0.8), ("web", 6, 1.0)):
        arrays[f"{split}_x"], arrays[f"{split}_y"] = around(per_class, spread)
    np.savez(folder / "arrays.npz", **arrays)
    names = [f"animal {c}" for c in range(CLASSES)]
    (folder / "classes.json").write_text(json.dumps(names))
    texts, of = around(3, 0.5)
    sources = np.array(["prompt", "wiki", "wiki"] * CLASSES)
    np.savez(folder / "texts.npz", x=texts, name=np.array(names)[of], source=sources)
    options = Options(
        name="animals",
        support=("train",),
        validation=("val",),
        query=("test",),
        memory=("web",),
        prompt_source="prompt",
    )
    made = import_pack(
        [folder / "arrays.npz"], folder / "classes.json", folder / "animals", options, texts=[folder / "texts.npz"]
    )
    return resolve(made.folder)


@pytest.fixture(scope="session")
def dataset_of(request: pytest.FixtureRequest) -> Callable[[str], Dataset]:
    """Return a function that gives a data set by the name of its fixture, made when it is first asked for."""
    return request.getfixturevalue
