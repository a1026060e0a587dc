"""A feature pack with a synthetic memory as large as is asked for, to see what a run over it takes.

    python -m tools.large_pack --folder FOLDER --items 1000000 --queries 50000

The vectors are those of ``tools.scale_curve``: 1000 classes as random directions, with noise in 32 dimensions. The
memory is a split of its own; the support, which scenarios may want, has four vectors a class, or --support of them. A
class's text is its direction with noise of the same norm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from bench.data.manifest import FORMAT
from bench.data.pack import write_manifest, write_split, write_texts
from bench.functional.classwise import normalise
from bench.utils.atomic import require_space
from bench.utils.random import Stream
from tools.scale_curve import BLOCK, CLASSES, D, directions, points


def write_pack(folder: Path, items: int, queries: int, support: int = 4) -> None:
    """Write the pack; what it concatenates is in float16."""
    require_space(folder.parent, 2 * D * (items + queries), what="the pack")
    sizes = {"memory": items, "test": queries, "train": support * CLASSES}
    splits = {}
    for name, count in sizes.items():
        parts = [points(name, start, min(BLOCK, count - start)) for start in range(0, count, BLOCK)]
        x, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        splits[name] = write_split(folder, name, torch.from_numpy(x), torch.from_numpy(labels))
    texts = normalise(torch.from_numpy(directions() + noise_of_texts())).half()
    every = torch.arange(CLASSES)
    prompts = write_texts(
        folder, "prompts", texts, every, [f"prompt/{c}" for c in range(CLASSES)], ["prompt"] * CLASSES
    )
    write_manifest(
        folder,
        {
            "format": FORMAT,
            "name": folder.name,
            "description": "synthetic vectors",
            "dimension": D,
            "classes": [f"class {c}" for c in range(CLASSES)],
            "splits": splits,
            "roles": {"support": ["train"], "query": ["test"]},
            "memory": {"images": [{"split": "memory"}]},
            "prompts": prompts,
        },
    )


def noise_of_texts() -> np.ndarray:
    """Return what sets class texts apart from the classes' directions, float32 [CLASSES, D], norms about 1."""
    return Stream(0).child("texts").numpy().standard_normal((CLASSES, D), dtype=np.float32) / D**0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=50_000)
    parser.add_argument("--support", type=int, default=4, help="Labelled images a class.")
    given = parser.parse_args()
    write_pack(given.folder, given.items, given.queries, given.support)


if __name__ == "__main__":
    main()
