"""Feature packs: precomputed features on disk, memory-mapped; see ``docs/feature-packs.md`` for the format."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import yaml
from annotated_types import Gt, Le
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from torch import Tensor

from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.utils.atomic import replacing, require_space, write_atomically
from bench.utils.errors import BenchError
from bench.utils.hashing import file_digest
from bench.utils.random import Stream

FORMAT = 1
MANIFEST = "pack.yaml"

Resolve = Callable[[str], Dataset]


def plain(name: str) -> str:
    """Return a class name as it is compared: composed, lower case, ``_`` as a space, single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).lower().replace("_", " ").split())


# -- writing -----------------------------------------------------------------------------------------------------


def encode_strings(strings: Sequence[str]) -> Tensor:
    """Return strings as UTF-8 bytes padded with zeros, uint8 [n, w]."""
    raw = np.array([s.encode() for s in strings], dtype="S")
    return torch.from_numpy(np.frombuffer(raw.tobytes(), dtype=np.uint8).reshape(len(raw), raw.dtype.itemsize).copy())


def decode_strings(stored: Tensor) -> np.ndarray:
    """Return the strings of :func:`encode_strings`, str [n]."""
    raw = np.ascontiguousarray(stored.numpy())
    return np.char.decode(raw.view(f"S{raw.shape[1]}").reshape(-1), "utf-8")


def write_arrays(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write one safetensors file and return its manifest entry: file, rows, sha256.

    Raises
    ------
    BenchError
        If it is larger than what is left of the disk (then nothing is written), or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = folder / f"{name}.safetensors"
    stored = {k: v.contiguous() for k, v in tensors.items()}
    require_space(folder, sum(v.nbytes for v in stored.values()), what=str(path))
    try:
        with replacing(path) as temporary:
            save_file(stored, temporary)
    except SafetensorError as error:
        raise BenchError(f"cannot write {path}: {' '.join(str(error).split())}; choose another folder") from None
    return {"file": path.name, "rows": len(tensors["x"]), "sha256": file_digest(path)}


def write_split(folder: Path, name: str, x: Tensor, labels: Tensor, ids: Sequence[str] | None = None) -> dict[str, Any]:
    """Write a split; without ids its rows are named ``<split>/<row>`` when it is read."""
    tensors = {"x": x, "labels": labels.to(torch.int32)}
    if ids is not None:
        tensors["ids"] = encode_strings(ids)
    return write_arrays(folder, name, tensors)


def write_texts(
    folder: Path, name: str, x: Tensor, labels: Tensor, ids: Sequence[str], sources: Sequence[str]
) -> dict[str, Any]:
    """Write text items or class texts."""
    return write_arrays(
        folder,
        name,
        {"x": x, "labels": labels.to(torch.int32), "ids": encode_strings(ids), "sources": encode_strings(sources)},
    )


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``pack.yaml``; a pack without it is not a pack, so it is written last."""
    text = yaml.safe_dump(dict(manifest), sort_keys=False, allow_unicode=True, width=110)
    write_atomically(folder / MANIFEST, text)


# -- reading -----------------------------------------------------------------------------------------------------


class _Arrays(BaseModel):
    """What a manifest says of one file."""

    file: str
    sha256: str


class _Manifest(BaseModel):
    """The types of what a manifest says; what else it holds is for people."""

    model_config = ConfigDict(strict=True)

    format: int
    dimension: int
    classes: list[Any]
    splits: dict[str, _Arrays]
    roles: dict[str, list[str]]
    prompts: _Arrays | None = None
    texts: _Arrays | None = None
    encoder: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    near: Annotated[float, Gt(0), Le(1)] = Card.near
    class_split: dict[Literal["seen", "validation", "unseen"], list[int]] | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        strangers = [c for part in (self.class_split or {}).values() for c in part if not 0 <= c < len(self.classes)]
        if strangers:
            raise ValueError(f"class_split names class {strangers[0]}, and there are {len(self.classes)} from 0 up")
        return self


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a pack's manifest; one that is damaged, incomplete or newer raises :class:`BenchError`."""
    path = folder / MANIFEST
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise BenchError(
            f"{folder} is no feature pack: it has no readable {MANIFEST}; make one with `bench data import`"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(manifest, dict):
        raise BenchError(f"{path} holds no names with values; import the pack again")
    missing = {"format", "name", "dimension", "classes", "splits", "roles"} - set(manifest)
    if missing:
        raise BenchError(f"{path} lacks {', '.join(sorted(missing))}; import the pack again")
    if isinstance(manifest["format"], int) and manifest["format"] > FORMAT:
        raise BenchError(f"{path} has format {manifest['format']}, newer than {FORMAT}; update retrieval-bench")
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        said = ": ".join(filter(None, [str(path), ".".join(map(str, first["loc"])), first["msg"].lower()]))
        raise BenchError(f"{said}; see docs/feature-packs.md") from None
    return dict(manifest)


def read_arrays(folder: Path, entry: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the arrays of a manifest entry, memory-mapped, after checking the file's hash."""
    from safetensors import SafetensorError, safe_open

    path = folder / entry["file"]
    if path.resolve().parent != folder.resolve():
        raise BenchError(f"{folder / MANIFEST}: file {entry['file']!r} lies outside the pack; move it inside")
    try:
        if file_digest(path) != entry["sha256"]:
            raise BenchError(f"{path} is not the file its manifest describes (sha256 differs); import the pack again")
        with safe_open(path, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise BenchError(f"{path} is missing; import the pack again") from None
    except (OSError, SafetensorError) as error:
        raise BenchError(f"{path} is truncated or damaged ({error}); import the pack again") from None


def _split(folder: Path, name: str, entry: Mapping[str, Any], class_names: tuple[str, ...], d: int) -> Features:
    arrays = read_arrays(folder, entry)
    x = arrays["x"]
    if x.ndim != 2 or x.shape[1] != d:
        raise BenchError(f"{folder / entry['file']}: features of shape {tuple(x.shape)}, the pack says d = {d}")
    ids = (
        decode_strings(arrays["ids"])
        if "ids" in arrays
        else np.char.add(f"{name}/", np.arange(len(x)).astype(f"U{len(str(len(x)))}"))
    )
    return Features(x, arrays["labels"].long(), ids, class_names)


def _texts(folder: Path, entry: Mapping[str, Any] | None, d: int) -> Items:
    if not entry:
        return Items.empty(d)
    arrays = read_arrays(folder, entry)
    return Items(arrays["x"], arrays["labels"].long(), decode_strings(arrays["ids"]), decode_strings(arrays["sources"]))


def open_pack(folder: Path, resolve: Resolve) -> Dataset:
    """Return the data set of a pack; ``resolve`` finds other packs that its memory names."""
    manifest = read_manifest(folder)
    names = tuple(str(name) for name in manifest["classes"])
    d = int(manifest["dimension"])
    splits = {name: _split(folder, name, entry, names, d) for name, entry in manifest["splits"].items()}
    prompts = _texts(folder, manifest.get("prompts"), d)
    encoder = manifest.get("encoder") or {}
    declared = manifest.get("memory") or {}
    texts = _texts(folder, manifest.get("texts"), d)
    images = declared_images(manifest["name"], declared, splits, names, d, lambda other: resolve(_near(folder, other)))
    return Dataset(
        card=Card(
            name=str(manifest["name"]),
            revision=str(manifest.get("revision", "")),
            licence=str(manifest.get("licence", "unknown")),
            citation=str(manifest.get("citation", "")),
            encoder=str(encoder.get("name", "unknown")),
            space=str(encoder.get("space", "")),
            description=str(manifest.get("description", "")),
            near=float(manifest.get("near", Card.near)),
        ),
        class_names=names,
        splits=splits,
        roles={role: tuple(parts) for role, parts in manifest["roles"].items()},
        prompts=Features(prompts.x, prompts.labels, prompts.ids, names),
        memory=Memory(images, texts),
        class_split={k: tuple(v) for k, v in (manifest.get("class_split") or {}).items()},
    )


def _near(folder: Path, other: str) -> str:
    """Return the path of another pack named relative to this one, or the name as it is."""
    beside = folder / other
    return str(beside) if (beside / MANIFEST).is_file() else other


# -- a memory declared from splits -------------------------------------------------------------------------------


def declared_images(
    name: str,
    declared: Mapping[str, Any],
    splits: Mapping[str, Features],
    class_names: tuple[str, ...],
    d: int,
    resolve: Resolve,
) -> Items:
    """Return the image memory that a manifest declares from its own and other packs' splits.

    Each entry of ``memory.images`` names a ``split`` (of this pack, or of the one named by ``pack``). Items of this
    pack are found under their class's name; items of another under the class of the same name. Of an entry with
    ``wrong_class_rate`` exactly that share is found under the keyword of another class. An entry with ``off_topic``
    gives that number of random items of the other pack under random keywords; ``off_topic_share`` gives as many as
    make that share of the whole memory.
    """
    rng = Stream(int(declared.get("seed", 0))).child("memory", name)
    parts: list[Items] = []
    off_topic: list[tuple[int, Mapping[str, Any], Features, str]] = []
    for number, entry in enumerate(declared.get("images") or []):
        pack, split = entry.get("pack"), entry.get("split")
        unknown = set(entry) - {"pack", "split", "wrong_class_rate", "off_topic", "off_topic_share"}
        if unknown or not split:
            raise BenchError(
                f"pack {name}: memory entry {number} has {', '.join(sorted(unknown)) or 'no split'}; it takes split, "
                "pack, wrong_class_rate, off_topic and off_topic_share"
            )
        other = resolve(pack) if pack else None
        available = other.splits if other else splits
        if split not in available:
            raise BenchError(f"pack {name}: memory names split {split!r}, known are {', '.join(available)}")
        features, source = available[split], f"{other.name if other else name}:{split}"
        if features.dimension != d:
            raise BenchError(
                f"pack {name}: memory split {source} has {features.dimension} dimensions instead of {d}; encode both "
                "packs with the same encoder"
            )
        if "off_topic" in entry or "off_topic_share" in entry:
            off_topic.append((number, entry, features, source))
            continue
        labels = _labels_by_name(features, class_names) if other else features.labels
        items = Items(features.x, labels, _named(features.ids, source), np.full(len(features), source))
        items = items.take(labels >= 0)
        parts.append(_mislabel(items, float(entry.get("wrong_class_rate", 0)), len(class_names), rng.child(number)))
    on_topic = sum(len(part) for part in parts)
    for number, entry, features, source in off_topic:
        share = float(entry.get("off_topic_share", 0))
        if not 0 <= share < 1:
            raise BenchError(f"pack {name}: off_topic_share {share} is not in [0, 1)")
        count = int(entry.get("off_topic", round(on_topic * share / (1 - share))))
        if not 0 <= count <= len(features):
            raise BenchError(f"pack {name}: {count} off-topic items are wanted of {source}, which has {len(features)}")
        draw = rng.child(number).numpy()
        chosen = features.take(np.sort(draw.permutation(len(features))[:count]))
        keywords = torch.from_numpy(draw.integers(len(class_names), size=count))
        parts.append(Items(chosen.x, keywords, _named(chosen.ids, source), np.full(count, f"off-topic:{source}")))
    return Items.concat(parts) if parts else Items.empty(d)


def _named(ids: np.ndarray, source: str) -> np.ndarray:
    return np.char.add(f"{source}:", ids) if len(ids) else ids


def _labels_by_name(features: Features, class_names: tuple[str, ...]) -> Tensor:
    """Return the label of the class of the same name, or -1, int64 [n]."""
    ours = {plain(name): label for label, name in enumerate(class_names)}
    table = torch.tensor([ours.get(plain(name), -1) for name in features.class_names], dtype=torch.int64)
    return table[features.labels]


def _mislabel(items: Items, rate: float, n_classes: int, rng: Stream) -> Items:
    """Return the items with exactly ``round(rate x m)`` of them under the keyword of another class."""
    if not 0 <= rate <= 1:
        raise BenchError(f"wrong_class_rate {rate} is not between 0 and 1")
    draw = rng.numpy()
    moved = torch.from_numpy(draw.permutation(len(items))[: round(rate * len(items))])
    labels = items.labels.clone()
    # Adding 1 .. c - 1 modulo c reaches every other class with the same probability and never the own one.
    labels[moved] = (labels[moved] + torch.from_numpy(draw.integers(1, n_classes, size=len(moved)))) % n_classes
    return Items(items.x, labels, items.ids, items.sources)
