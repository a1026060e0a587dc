"""Turns a user's arrays into a feature pack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from bench.core.features import Features
from bench.data.manifest import FORMAT
from bench.data.pack import plain, write_manifest, write_split, write_texts
from bench.utils.atomic import require_space
from bench.utils.errors import BenchError, suggest
from bench.utils.hashing import digest
from bench.utils.random import Stream

_PAIRS = (("_x", "_y"), ("_features", "_labels"), ("x", "y"), ("features", "labels"))
"""How the arrays of one split are named: ``test_x`` and ``test_y``, or ``x`` and ``y`` for a file of one split."""


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


def read_arrays(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return the arrays of ``.npz``, ``.npy`` and ``.safetensors`` files by name; a folder stands for its files.

    An ``.npy`` file is named by its stem. Pickled arrays are refused.
    """
    arrays: dict[str, np.ndarray] = {}
    for path in _files(paths):
        try:
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as stored:
                    arrays |= {key: stored[key] for key in stored.files}
            elif path.suffix == ".npy":
                # Mapped copy-on-write: nothing is read before it is needed, and nothing written back.
                arrays[path.stem] = np.load(path, allow_pickle=False, mmap_mode="c")
            elif path.suffix == ".safetensors":
                from safetensors.torch import load_file

                arrays |= {key: _numpy(tensor) for key, tensor in load_file(path).items()}
            else:
                raise BenchError(f"{path} is neither .npz, .npy nor .safetensors; convert it first")
        except BenchError:
            raise
        except Exception as error:  # the readers raise many kinds for a damaged file
            raise BenchError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return arrays


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix in (".npz", ".npy", ".safetensors"))
        elif path.exists():
            found.append(path)
        else:
            raise BenchError(f"{path} does not exist; give the path of an .npz, .npy or .safetensors file")
    return found


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def find_splits(arrays: Mapping[str, np.ndarray], single: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return features and labels by split name; ``single`` names the split of a file that holds only one."""
    splits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for x_name, y_name in _PAIRS:
        for key, x in arrays.items():
            if not (key == x_name or (x_name.startswith("_") and key.endswith(x_name))):
                continue
            stem = key[: len(key) - len(x_name)]
            labels = arrays.get(stem + y_name)
            if labels is None:
                raise BenchError(f"array {key!r} has no labels; add {stem + y_name!r}")
            if x.ndim != 2 or labels.ndim != 1 or len(x) != len(labels):
                raise BenchError(
                    f"split {stem or single!r}: features of shape {x.shape} and labels of shape {labels.shape} do not "
                    "fit; they must be [n, d] and [n]"
                )
            if not np.issubdtype(labels.dtype, np.integer):
                raise BenchError(f"split {stem or single!r}: labels of type {labels.dtype} are not whole numbers")
            splits[stem or single] = (x, labels)
    if not splits:
        raise BenchError(
            f"no split found in arrays {', '.join(arrays) or '(none)'}; name them test_x and test_y, or x and y"
        )
    return splits


def read_classes(path: Path, name: str) -> list[str]:
    """Return class names from YAML, JSON or one name a line; a mapping of data sets to lists is looked up by name."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            content = json.loads(text)
        elif path.suffix in (".yaml", ".yml"):
            content = yaml.safe_load(text)
        else:
            content = [line.strip() for line in text.splitlines() if line.strip()]
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}; give a YAML, JSON or text file of names") from None
    except (ValueError, yaml.YAMLError) as error:
        raise BenchError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    if isinstance(content, dict) and all(str(key).lstrip("-").isdigit() for key in content):
        ordered = {int(key): value for key, value in content.items()}
        if sorted(ordered) != list(range(len(ordered))):
            raise BenchError(f"{path}: labels must run from 0 without gaps")
        content = [ordered[label] for label in range(len(ordered))]
    elif isinstance(content, dict):
        if name not in content:
            raise BenchError(f"{path} has no class list {name!r}{suggest(name, map(str, content))}; set --name")
        content = content[name]
    if not isinstance(content, list):
        raise BenchError(f"{path} holds no list of class names")
    return [str(entry) for entry in content]


def distinct(names: Sequence[str], warnings: list[str]) -> list[str]:
    """Return class names of which no two are equal: a repeated one gets its label behind it, with a warning."""
    plain_names = [plain(name) for name in names]
    repeated = {name for name in plain_names if plain_names.count(name) > 1}
    if repeated:
        warnings.append(
            f"class names {', '.join(sorted(repeated))} stand for several classes; the label was added to each"
        )
    return [f"{n} ({label})" if plain(n) in repeated else n for label, n in enumerate(names)]


def default_roles(splits: Iterable[str]) -> dict[str, list[str]]:
    """Return which splits serve as support, query and validation by their usual names.

    Support is ``train`` or the largest ``shotN``; queries are ``test``, else ``val``, else every other split.
    """
    names = list(splits)
    numbered = [(int(m[1]), n) for n in names if (m := re.fullmatch(r"shot(\d+)", n))]
    support = "train" if "train" in names else max(numbered)[1] if numbered else names[0]
    rest = [n for n in names if n != support]
    query: list[str] = next(([n] for n in ("test", "query", "val", "validation") if n in rest), rest)
    validation: list[str] = [n for n in ("val", "validation") if n in rest and n not in query]
    return {"support": [support], "query": query, "validation": validation}


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
    sources = arrays.get("source", np.full(len(arrays["x"]), "text")).astype("U")
    names = [plain(str(name)) for name in arrays["name"]]
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
    """Write a feature pack and return it; nothing is written if anything is wrong."""
    warnings: list[str] = []
    splits = find_splits(read_arrays(paths), single="all")
    names = read_classes(classes, options.name)
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
    roles = choose_roles(
        splits, {role: getattr(options, role) for role in ("support", "query", "validation", "memory")}
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
    kept = x if x.dtype in (np.float16, np.float32) else x.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(kept))


def _write_texts(
    out: Path, name: str, x: Tensor, pairs: Sequence[tuple[int, int]], sources: np.ndarray
) -> dict[str, Any]:
    rows = torch.tensor([row for row, _ in pairs])
    labels = torch.tensor([label for _, label in pairs])
    ids = [f"text/{sources[row]}/{row}/{label}" for row, label in pairs]
    return write_texts(out, name, x[rows], labels, ids, [str(sources[row]) for row, _ in pairs])


def held_out(labels: np.ndarray, share: float, n_splits: int) -> np.ndarray:
    """Return which rows of the one split there is become queries: ``share`` of each class, at least one, bool [n]."""
    if n_splits != 1 or not 0 < share < 1:
        raise BenchError("--hold-out takes a share between 0 and 1, and data without splits of their own")
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels).tolist():
        rows = np.flatnonzero(labels == label)
        order = Stream(0).child("hold-out", label).permutation(len(rows))
        test[rows[order[: max(1, round(share * len(rows)))]]] = True
    return test


def choose_roles(splits: Iterable[str], given: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return which splits serve as support, query and validation: those given, else by their usual names.

    ``given`` may also name the splits of the ``memory``, which are checked and have no role.
    """
    names = list(splits)
    roles = default_roles(names)
    for role, wanted in given.items():
        for split in wanted:
            if split not in names:
                raise BenchError(f"--{role} {split!r} is no split{suggest(split, names)}")
        if wanted and role != "memory":
            roles[role] = list(wanted)
    if not roles["query"] or set(roles["query"]) & set(roles["support"]):
        raise BenchError(
            "support and queries need splits of their own; name them with --support and --query, or cut one split "
            "with --hold-out 0.2"
        )
    return roles
