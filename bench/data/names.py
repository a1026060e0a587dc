"""The data sets that can be named: bundled ones, plug-ins and feature packs. No features are read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.data.pack_files import MANIFEST
from bench.utils.errors import BenchError
from bench.utils.names import expand
from bench.utils.registry import DATASET

PACKS_VARIABLE = "BENCH_PACKS"
"""Folders, separated as in PATH, whose sub-folders are packs that can be named; ``packs`` in the present folder is
searched too."""

GLYPHS_WITH = "glyphs@"
"""``glyphs@NAME:PRETRAINED`` is the bundled data set in the space of another encoder."""


@dataclass(frozen=True)
class Known:
    """A data set that can be named, and where it comes from; ``folder`` is that of a feature pack."""

    name: str
    origin: str
    description: str
    folder: Path | None = None


def packs() -> dict[str, Known]:
    """Return the feature packs that can be named."""
    found: dict[str, Known] = {}
    for root in [*filter(None, os.environ.get(PACKS_VARIABLE, "").split(os.pathsep)), "packs"]:
        for path in sorted(expand(Path(root)).glob(f"*/{MANIFEST}")):
            # Imported where there is a pack: it takes longer than to list all else that has a name.
            from bench.data.manifest import read_manifest

            try:
                content = read_manifest(path.parent)
            except BenchError:
                continue
            name, about = str(content["name"]), str(content.get("description", ""))
            found.setdefault(name, Known(name, str(path.parent), about, path.parent))
    return found


def bundled() -> dict[str, Known]:
    """Return the data sets that come with the package."""
    return {
        entry.name: Known(entry.name, "bundled", str(entry.options.get("description", "")))
        for entry in sorted(DATASET.built_in(), key=lambda entry: entry.name, reverse=True)
    }


def known() -> dict[str, Known]:
    """Return every data set that can be named, bundled ones first. Plug-ins are imported, if there are any."""
    found = bundled()
    if DATASET.plug_ins():
        for entry in DATASET.registry().plugged():
            about = str(entry.options.get("description", ""))
            found.setdefault(entry.name, Known(entry.name, f"plug-in {entry.cls.__module__}", about))
    return found | {name: pack for name, pack in packs().items() if name not in found}
