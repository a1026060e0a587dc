"""Arrays of three animals, and their import."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bench.data.import_features import Imported, Options, import_pack

NAMES = ["fox", "wolf", "lynx"]


def rows(seed: int, per_class: int = 3, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.Generator(np.random.Philox(seed)).standard_normal((3 * per_class, d)).astype(np.float32)
    return x, np.repeat(np.arange(3), per_class)


def two(first: str, second: str, *, ends: tuple[str, str] = ("_x", "_y")) -> dict[str, np.ndarray]:
    made = {}
    for seed, split in enumerate((first, second)):
        made[split + ends[0]], made[split + ends[1]] = rows(seed)
    return made


def import_arrays(folder: Path, arrays: dict[str, np.ndarray], **options: object) -> Imported:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "in.npz", **arrays)
    (folder / "classes.json").write_text(json.dumps(NAMES))
    given_: dict[str, object] = {"name": "animals", **options}
    return import_pack([folder / "in.npz"], folder / "classes.json", folder / "pack", Options(**given_))  # type: ignore[arg-type]
