"""Data sets by name or path: bundled ones, plug-ins and feature packs."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from bench.cache.location import PACKS, cache_root
from bench.core.dataset import Dataset
from bench.core.registry import DATASETS
from bench.data.manifest import read_manifest
from bench.data.names import GLYPHS_WITH, bundled, known, packs
from bench.data.pack import open_pack
from bench.data.pack_files import MANIFEST
from bench.utils.errors import BenchError, suggest
from bench.utils.names import expand, shown
from bench.utils.registry import DATASET


def _glyphs_with(encoder: str) -> Dataset:
    import torch

    from bench.data.glyphs.dataset import load

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load(encoder=encoder, device=device, progress=sys.stderr.isatty())


def _registered(name: str) -> Dataset | None:
    """Return the bundled data set or the plug-in of a name; None if there is none."""
    entry = DATASETS.find(name)
    if entry is None:
        return None
    made = entry.cls()
    if not isinstance(made, Dataset):
        raise BenchError(f"data set {name!r} ({entry.cls.__module__}) returns no bench.Dataset; mend or uninstall it")
    return made


def _beside(folder: Path, named: str) -> Path:
    """Return where a pack says that its images are; a pack may be a stranger's, who is not to look around."""
    path = (folder / expand(Path(named.replace("\\", "/")))).resolve()
    if not path.is_relative_to(folder.parent) or folder.is_relative_to(path):
        raise BenchError(
            f"{folder / MANIFEST}: its images, {shown(named)}, are not in the folder that holds it; put them there"
        )
    return path


@cache
def _open_once(folder: Path, stamp: float) -> Dataset:
    dataset = open_pack(folder, resolve)
    manifest = read_manifest(folder)
    if not manifest.get("images"):
        return dataset
    from bench.data.item_images import Pictures

    encoder = manifest.get("encoder") or {}
    weights = str(encoder.get("weights", ""))
    if folder.parent == (cache_root() / PACKS).resolve():
        # Written by this user's own `bench run --encoder`, of images wherever they lie.
        pictures = Pictures.of_origin(dataset.card.encoder, manifest["images"], weights)
    else:
        pictures = Pictures.of_folder(dataset.card.encoder, _beside(folder, manifest["images"]), weights)
    return replace(dataset, pictures=pictures)


def _open(folder: Path) -> Dataset:
    return _open_once(folder.resolve(), (folder / MANIFEST).stat().st_mtime)


def resolve(wanted: str | Path | Dataset) -> Dataset:
    """Return the data set of a name, of a pack's folder, or the user's own object as it is."""
    if isinstance(wanted, Dataset):
        return wanted
    path = expand(Path(wanted))
    if (path / MANIFEST).is_file():
        return _open(path)
    name = str(wanted)
    # What is bundled is not imported for the sake of a pack, unless a plug-in may have its name.
    if name in bundled() or DATASET.plug_ins():
        registered = _registered(name)
        if registered is not None:
            return registered
    pack = packs().get(name)
    if pack is not None and pack.folder is not None:
        return _open(pack.folder)
    if name.startswith(GLYPHS_WITH):
        return _glyphs_with(name.removeprefix(GLYPHS_WITH))
    if path.is_dir():
        raise BenchError(
            f"{path} is no feature pack: it has no {MANIFEST}; make one with `bench data import`, or of images with "
            "`bench run --encoder NAME:PRETRAINED`"
        )
    from bench.data.standard import declarations

    if name in declarations():
        raise BenchError(
            f"{wanted} is a standard data set that is not encoded yet; `bench data prepare {wanted} --root DIR "
            f"--encoder NAME:PRETRAINED --out packs/{wanted}` does it"
        )
    raise BenchError(f"{name!r} is neither the path of a pack nor a known data set{suggest(name, known())}")


def encoded_packs(name: str) -> list[Path]:
    """Return the packs of a name that ``bench run --encoder`` made of images, in the cache."""
    found = []
    for path in sorted((cache_root() / PACKS).glob(f"*/{MANIFEST}")):
        try:
            if str(read_manifest(path.parent)["name"]) == name:
                found.append(path.parent)
        except BenchError:
            continue
    return found
