"""Data sets by name or path: bundled ones, plug-ins and feature packs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from bench.core.dataset import Dataset
from bench.data.pack import MANIFEST, open_pack, read_manifest
from bench.utils.errors import BenchError, suggest

GROUP = "retrieval_bench.datasets"
PACKS_VARIABLE = "BENCH_PACKS"
"""Folders, separated as in PATH, whose sub-folders are packs that can be named; ``packs`` in the present folder is
searched too."""


@dataclass(frozen=True)
class Known:
    """A data set that can be named: where it comes from and how to load it."""

    name: str
    origin: str
    description: str
    load: Callable[[], Dataset]


def _digits() -> Dataset:
    from bench.data.digits import load

    return load()


def _glyphs() -> Dataset:
    from bench.data.glyphs.dataset import load

    return load(progress=sys.stderr.isatty())


GLYPHS_WITH = "glyphs@"
"""``glyphs@NAME:PRETRAINED`` is the bundled data set in the space of another encoder."""


def _glyphs_with(encoder: str) -> Dataset:
    import torch

    from bench.data.glyphs.dataset import load

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load(encoder=encoder, device=device, progress=sys.stderr.isatty())


BUNDLED = {
    "glyphs": Known(
        "glyphs", "bundled", "Unicode characters by name, open_clip encoder, memory from a simulated web", _glyphs
    ),
    "digits": Known("digits", "bundled", "8 x 8 handwritten digits, fixed descriptor, no texts", _digits),
}


def _plug_in(point: EntryPoint) -> Dataset:
    made = point.load()()
    if not isinstance(made, Dataset):
        raise BenchError(f"plug-in {point.name!r} ({point.value}) returns no bench.Dataset; mend or uninstall it")
    return made


def known() -> dict[str, Known]:
    """Return every data set that can be named, bundled ones first."""
    found = dict(BUNDLED)
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, Known(point.name, f"plug-in {point.value}", "", partial(_plug_in, point)))
    for root in [*filter(None, os.environ.get(PACKS_VARIABLE, "").split(os.pathsep)), "packs"]:
        for manifest in sorted(Path(root).glob(f"*/{MANIFEST}")):
            try:
                content = read_manifest(manifest.parent)
            except BenchError:
                continue
            name = str(content["name"])
            found.setdefault(
                name,
                Known(
                    name,
                    str(manifest.parent),
                    str(content.get("description", "")),
                    partial(_open, manifest.parent),
                ),
            )
    return found


@cache
def _open_once(folder: Path, stamp: float) -> Dataset:
    dataset = open_pack(folder, resolve)
    manifest = read_manifest(folder)
    if not manifest.get("images"):
        return dataset
    from bench.data.item_images import Pictures

    encoder = manifest.get("encoder") or {}
    images = folder / str(manifest["images"])
    pictures = Pictures.of_folder(dataset.card.encoder, images, str(encoder.get("weights", "")))
    return replace(dataset, pictures=pictures)


def _open(folder: Path) -> Dataset:
    return _open_once(folder.resolve(), (folder / MANIFEST).stat().st_mtime)


def resolve(wanted: str | Path | Dataset) -> Dataset:
    """Return the data set of a name, of a pack's folder, or the user's own object as it is."""
    if isinstance(wanted, Dataset):
        return wanted
    path = Path(wanted)
    if (path / MANIFEST).is_file():
        return _open(path)
    names = known()
    if str(wanted) in names:
        return names[str(wanted)].load()
    if str(wanted).startswith(GLYPHS_WITH):
        return _glyphs_with(str(wanted).removeprefix(GLYPHS_WITH))
    if path.is_dir():
        raise BenchError(
            f"{path} is no feature pack: it has no {MANIFEST}; make one with `bench data import`, or of images with "
            "`bench run --encoder NAME:PRETRAINED`"
        )
    from bench.data.standard import declarations

    if str(wanted) in declarations():
        raise BenchError(
            f"{wanted} is a standard data set that is not encoded yet; `bench data prepare {wanted} --root DIR "
            f"--encoder NAME:PRETRAINED --out packs/{wanted}` does it"
        )
    raise BenchError(f"{str(wanted)!r} is neither the path of a pack nor a known data set{suggest(str(wanted), names)}")
