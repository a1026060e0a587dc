"""A small pack of two splits on disk."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.core.dataset import Dataset
from bench.data.manifest import FORMAT
from bench.data.pack import write_manifest, write_split, write_texts
from tests import toy

CLASSES = tuple(f"class {c}" for c in range(4))


def write(folder: Path, *, per_class: int = 5, name: str = "small", spread: float = 0.12) -> Dataset:
    """Write a pack of four classes with support, memory texts and queries; return what it was made of."""
    made = toy.dataset(4, name=name, images=False, per_class=per_class)
    every, texts = list(range(4)), made.memory.texts
    splits = {s: toy.cloud(every, n, CLASSES, s, spread) for s, n in (("train", per_class), ("test", 5))}
    manifest = {
        "format": FORMAT,
        "name": name,
        "revision": "1",
        "licence": "CC0",
        "dimension": toy.DIMENSION,
        "classes": list(CLASSES),
        "splits": {
            split: write_split(folder, split, splits[split].x, splits[split].labels, ids)
            for split, ids in (("train", [f"photo {n}" for n in range(4 * per_class)]), ("test", None))
        },
        "roles": {"support": ["train"], "query": ["test"], "validation": []},
        "texts": write_texts(
            folder, "texts", texts.x, texts.labels, texts.ids.tolist(), ["wiki"] * (len(texts) - 1) + ["blog"]
        ),
        "prompts": write_texts(
            folder, "prompts", made.prompts.x, made.prompts.labels, [f"prompt/{c}" for c in range(4)], ["prompt"] * 4
        ),
    }
    write_manifest(folder, manifest)
    assert torch.isfinite(made.prompts.x).all()
    return made
