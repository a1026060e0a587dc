"""Turns a user's arrays into a feature pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.data.arrays import check_numbers, find_splits, read_arrays, text_column
from bench.data.class_names import read_classes
from bench.data.manifest import FORMAT
from bench.data.pack import write_manifest, write_split, write_texts
from bench.data.splits import check_splits, choose_roles, held_out
from bench.utils.atomic import require_space
from bench.utils.errors import BenchError, suggest
from bench.utils.hashing import digest
from bench.utils.names import expand, file_name, plain, shown


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of an import; see ``bench data import --help``."""

    name: str
    licence: str = "unknown"
    citation: str = ""
    description: str = ""
    encoder: str = "unknown"
    space: str = ""
    support: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    prompt_source: str | None = None
    hold_out: float | None = None


@dataclass(eq=False)
class Imported:
    """The result of an import, with warnings."""

    folder: Path
    manifest: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def distinct(names: Sequence[str], warnings: list[str]) -> list[str]:
    """Return class names of which no two are equal: a repeated one gets its label behind it, with a warning."""
    plain_names = [plain(name) for name in names]
    repeated = {name for name in plain_names if plain_names.count(name) > 1}
    if repeated:
        warnings.append(
            f"class names {', '.join(sorted(repeated))} stand for several classes; the label was added to each"
        )
    return [f"{n} ({label})" if plain(n) in repeated else n for label, n in enumerate(names)]


def match_texts(
    arrays: Mapping[str, np.ndarray], class_names: Sequence[str], prompt_source: str | None
) -> tuple[list[tuple[int, int]], dict[int, int], np.ndarray]:
    """Return which text rows belong to which classes.

    A row belongs to the class of the same name (lower case, ``_`` as a space). Where a source has as many rows of a
    name as there are classes of it, they pair in order, so that two classes of one name keep their own texts.

    Returns
    -------
    items : list of (row, class id)
        Every text item of every class.
    prompts : dict of class id to row
        The class text: of ``prompt_source``, or of the first source in the file that names the class.
    sources : str array [n]
    """
    if "x" not in arrays or "name" not in arrays:
        raise BenchError("the texts need arrays 'x' [n, d] and 'name' [n], and may have 'source' [n]")
    if arrays["x"].ndim != 2:
        raise BenchError(f"the texts' x has shape {arrays['x'].shape}; it must be [n, d]")
    check_numbers(arrays["x"], "the texts")
    sources = text_column(arrays.get("source", np.full(len(arrays["x"]), "text")), "the texts' sources")
    names = [plain(name) for name in text_column(arrays["name"], "the texts' names").tolist()]
    if not len(arrays["x"]) == len(sources) == len(names):
        raise BenchError(
            f"{len(arrays['x'])} text vectors have {len(names)} names and {len(sources)} sources; give one of each"
        )
    classes: dict[str, list[int]] = {}
    for label, name in enumerate(class_names):
        classes.setdefault(plain(name), []).append(label)
    items: list[tuple[int, int]] = []
    prompts: dict[int, int] = {}
    order = list(dict.fromkeys(sources.tolist()))
    if prompt_source is not None and prompt_source not in order:
        raise BenchError(f"the texts have no source {prompt_source!r}{suggest(prompt_source, order)}")
    for source in order:
        rows: dict[str, list[int]] = {}
        for row in np.flatnonzero(sources == source).tolist():
            rows.setdefault(names[row], []).append(row)
        for name, found in rows.items():
            labels = classes.get(name, [])
            pairs = (
                list(zip(found, labels, strict=True))
                if len(found) == len(labels)
                else [(row, label) for label in labels for row in found]
            )
            items += pairs
            if prompt_source in (None, source):
                for row, label in pairs:
                    prompts.setdefault(label, row)
    return items, prompts, sources


def import_pack(
    paths: Sequence[Path], classes: Path, out: Path, options: Options, *, texts: Sequence[Path] = ()
) -> Imported:
    """Write a feature pack and return it; nothing is written if anything is wrong.

    A pack that is there already is replaced when all is written: a stopped import leaves it whole.
    """
    warnings: list[str] = []
    out = expand(out)
    file_name(options.name, "data set")
    splits = find_splits(read_arrays(paths, by_file=True), single="all")
    check_splits(splits, "the arrays")
    bare_splits = [split for split, (x, _) in splits.items() if not len(x)]
    if bare_splits:
        raise BenchError(f"split {shown(bare_splits[0])} has no rows; give it some, or leave it out")
    names = read_classes(expand(classes), options.name, warnings)
    if options.hold_out is not None:
        x, y = next(iter(splits.values()))
        test = held_out(y, options.hold_out, len(splits))
        splits = {"train": (x[~test], y[~test]), "test": (x[test], y[test])}
    dims = {x.shape[1] for x, _ in splits.values()}
    if len(dims) > 1:
        raise BenchError(f"splits of {sorted(dims)} dimensions; encode all with the same encoder")
    d = dims.pop()
    labelled = tuple(distinct(names, warnings))
    for split, (x, y) in splits.items():
        Features(
            _tensor(x), torch.from_numpy(y.astype(np.int64)), np.array([str(n) for n in range(len(x))]), labelled
        ).check(f"split {split}")
    bare = sorted(set(range(len(names))) - {label for _, y in splits.values() for label in np.unique(y).tolist()})
    if bare:
        warnings.append(
            f"{len(bare)} of {len(names)} class names stand for a label that no row has, e.g. {labelled[bare[0]]!r}; "
            "see that names and labels count from the same class on"
        )
    roles = choose_roles(
        splits, {role: getattr(options, role) for role in ("support", "query", "validation", "memory")}, warnings
    )
    items: list[tuple[int, int]] = []
    if texts:
        text_arrays = read_arrays(texts)
        items, prompts, sources = match_texts(text_arrays, names, options.prompt_source)
        if items and text_arrays["x"].shape[1] != d:
            raise BenchError(
                f"texts of {text_arrays['x'].shape[1]} dimensions, images of {d}; encode both with the same encoder"
            )
        if len(prompts) < len(names):
            warnings.append(f"{len(names) - len(prompts)} of {len(names)} classes have no text")
    require_space(out, sum(x.nbytes for x, _ in splits.values()), what=f"the pack {options.name}")
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": options.name,
        "revision": digest([(s, digest(x, y)) for s, (x, y) in sorted(splits.items())], list(labelled)),
        "licence": options.licence,
        "citation": options.citation,
        "description": options.description,
        "encoder": {"name": options.encoder, "space": options.space},
        "dimension": int(d),
        "classes": list(labelled),
        "splits": {
            split: write_split(out, split, _tensor(x), torch.from_numpy(y.astype(np.int32)))
            for split, (x, y) in splits.items()
        },
        "roles": roles,
    }
    if items:
        vectors = _tensor(text_arrays["x"])
        manifest["texts"] = _write_texts(out, "texts", vectors, items, sources)
        by_class = [(row, label) for label, row in sorted(prompts.items())]
        manifest["prompts"] = _write_texts(out, "prompts", vectors, by_class, sources)
    if options.memory:
        manifest["memory"] = {"seed": 0, "images": [{"split": split} for split in options.memory]}
    write_manifest(out, manifest)
    return Imported(out, manifest, warnings)


def _tensor(x: np.ndarray) -> Tensor:
    # What is too large for float32 becomes infinite, and that is refused by row, not warned of here.
    with np.errstate(over="ignore"):
        kept = x if x.dtype in (np.float16, np.float32) else x.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(kept))


def _write_texts(
    out: Path, name: str, x: Tensor, pairs: Sequence[tuple[int, int]], sources: np.ndarray
) -> dict[str, Any]:
    rows = torch.tensor([row for row, _ in pairs])
    labels = torch.tensor([label for _, label in pairs])
    ids = [f"text/{sources[row]}/{row}/{label}" for row, label in pairs]
    return write_texts(out, name, x[rows], labels, ids, [str(sources[row]) for row, _ in pairs])
