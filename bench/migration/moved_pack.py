"""A pack in the space of another encoder, of which few images were encoded again and the rest mapped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.cache import FeatureCache, cache_root
from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.data.image_hashes import Pixels
from bench.data.images.to_pack import auto_templates, describe_encoder, near_of, write_prompts
from bench.data.manifest import FORMAT, read_manifest
from bench.data.pack import write_manifest, write_split, write_texts
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.functional.linear_map import LinearMap, fit_map
from bench.migration.pairs import aligned, encode_again, memory_of, names_encoder, pixels, refuse_one_space
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.names import expand, file_name
from bench.utils.random import Stream

ENCODED, MAPPED, WEB = "encoded", "mapped", "web"
"""Splits of a moved pack: items as the new encoder made them, items that were mapped, and a mapped memory of images."""


@dataclass(frozen=True, eq=False)
class Moved:
    """What was written, and of what it is made.

    Attributes
    ----------
    encoded, mapped : int
        Items of the memory that the new encoder encoded, and that were mapped.
    unexplained : float
        See :class:`bench.functional.linear_map.LinearMap`.
    warnings : list of str
        What was left behind.
    """

    folder: Path
    encoded: int
    mapped: int
    unexplained: float
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _New:
    """What there is in the new space: pairs, the other roles, what a manifest says, and who writes the texts."""

    pairs: Features
    roles: dict[str, Features]
    near: float
    encoder: dict[str, Any]
    texts: Callable[[Path, dict[str, Any], list[str]], None]


def move_pack(
    data: str | Path | Dataset,
    to: str | Path | Dataset,
    out: Path,
    *,
    pairs: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = False,
) -> Moved:
    """Write a data set's memory as a pack in the space of another encoder.

    ``pairs`` labelled images are drawn and encoded anew, and so are all queries and validation images; the rest of the
    memory goes through a linear map that is learnt on the pairs (:func:`bench.functional.linear_map.fit_map`). Class
    texts are encoded by the new encoder. What was encoded and what was mapped are splits of their own.

    Parameters
    ----------
    to
        An encoder, or a pack in its space that holds the queries and some of the labelled images.
    pairs : int, optional
        Left out, all that a pack has; an encoder must be told.

    Raises
    ------
    BenchError
        If images are missing or are not the same, there are fewer pairs than two, or ``out`` cannot be a pack's folder,
        is that of one of the two, or holds a pack that was not moved. One that was is replaced when all is written.
    """
    old, out = resolve(data), expand(out)
    file_name(out.name, "data set")
    _require_own(out, data, to)
    items = memory_of(old)
    if not len(items):
        raise BenchError(f"{old.name} has no labelled images to move; name another data set")
    if names_encoder(to):
        if pairs is None:
            raise BenchError("how many items are to be encoded again? give --pairs once")
        chosen = _drawn(items, pairs, seed)
        new = _by_encoder(old, items.take(chosen), str(to), device, progress)
    else:
        other = resolve(to)
        known = np.flatnonzero(np.isin(items.ids, memory_of(other).ids))
        chosen = known[_drawn(items.take(known), len(known) if pairs is None else pairs, seed)]
        refuse_one_space(old.name, old.card.space, other.card.space)
        hashes = pixels(data), pixels(to)
        new = _by_pack(old, items.take(chosen), other, hashes)
    found = fit_map(items.x[torch.from_numpy(chosen)], new.pairs.x)
    rest = items.take(np.setdiff1d(np.arange(len(items)), chosen))
    splits = {ENCODED: new.pairs} | ({MAPPED: _through(found, rest)} if len(rest) else {}) | new.roles
    warnings: list[str] = []
    manifest = _manifest(old, out.name, new, splits, found, len(items))
    if len(old.role("support")):
        manifest["roles"]["support"] = [name for name in (ENCODED, MAPPED) if name in splits]
        web = old.memory.images
        if len(web):
            splits[WEB] = _through(found, Features(web.x, web.labels, web.ids, old.class_names))
            manifest["memory"] = {"seed": 0, "images": [{"split": WEB}]}
    else:
        manifest["memory"] = {"seed": 0, "images": [{"split": name} for name in (ENCODED, MAPPED) if name in splits]}
    manifest["splits"] = {
        name: write_split(out, name, part.x.float(), part.labels, part.ids.tolist()) for name, part in splits.items()
    }
    if len(old.memory.texts):
        warnings.append(
            f"{len(old.memory.texts)} texts of the memory stay behind, for a pack does not hold their words"
        )
    new.texts(out, manifest, warnings)
    write_manifest(out, manifest)
    return Moved(out, len(chosen), len(items) - len(chosen), found.unexplained, warnings)


def _require_own(out: Path, *packs: str | Path | Dataset) -> None:
    """Raise :class:`BenchError` if a pack may not be written into a folder, since something else would be lost."""
    if out.exists() and not out.is_dir():
        raise BenchError(f"{out} is a file and no folder; choose another --into")
    read = [expand(Path(pack)) for pack in packs if not isinstance(pack, Dataset)]
    if out.exists() and any(pack.exists() and pack.samefile(out) for pack in read):
        raise BenchError(f"{out} is a pack that is read, and nothing is written into it; choose another --into")
    if (out / MANIFEST).exists() and ENCODED not in read_manifest(out)["splits"]:
        raise BenchError(f"{out} holds a pack that was not moved; choose another --into, or remove it")


def _drawn(items: Features, pairs: int, seed: int) -> np.ndarray:
    if not 2 <= pairs <= len(items):
        raise BenchError(f"--pairs {pairs}: a map is learnt on 2 items or more, and there are {len(items)}")
    # The draw of `bench migrate`, whose table says what so many pairs are worth.
    return np.sort(Stream(seed).child("migrate").order(items.ids)[:pairs])


def _through(found: LinearMap, part: Features) -> Features:
    return replace(part, x=torch.cat([found(block) for block in part.x.split(4096)]))


def _other_roles(old: Dataset) -> dict[str, Features]:
    parts = {role: old.role(role) for role in ("query", "validation")}
    return {role: part for role, part in parts.items() if len(part)}


def _by_encoder(old: Dataset, pairs: Features, spec: str, device: str, progress: bool) -> _New:
    roles = _other_roles(old)
    again = encode_again(old, (pairs, *roles.values()), spec, device=device, progress=progress)

    def texts(out: Path, manifest: dict[str, Any], warnings: list[str]) -> None:
        encoder = again.encoder
        if not encoder.has_texts:
            warnings.append(f"{encoder.without_texts}; the pack holds no class texts")
            return
        cache = FeatureCache(cache_root())
        templates = auto_templates(encoder)
        manifest["prompts"] = write_prompts(out, encoder, old.class_names, templates, cache, manifest, warnings)

    new_pairs, *others = again.parts
    others_by_role = dict(zip(roles, others, strict=True))
    return _New(new_pairs, others_by_role, near_of(spec), describe_encoder(again.encoder), texts)


def _by_pack(old: Dataset, pairs: Features, other: Dataset, hashes: tuple[Pixels, Pixels]) -> _New:
    parts = {role: (part, other.role(role)) for role, part in _other_roles(old).items()}
    roles = {role: aligned(*both, old.name, other.name, hashes) for role, both in parts.items()}
    new_pairs = aligned(pairs, memory_of(other), old.name, other.name, hashes)

    def texts(out: Path, manifest: dict[str, Any], warnings: list[str]) -> None:
        for name, part in (("prompts", other.prompts), ("texts", other.memory.texts)):
            if len(part):
                sources = other.memory.texts.sources.tolist() if name == "texts" else ["prompt"] * len(part)
                manifest[name] = write_texts(out, name, part.x, part.labels, part.ids.tolist(), sources)

    card = other.card
    encoder = {"name": card.encoder, "space": card.space, "licence": card.encoder_licence, "flops": card.encoder_flops}
    return _New(new_pairs, roles, card.near, {**encoder, "texts": card.encoder_texts}, texts)


def _manifest(
    old: Dataset, name: str, new: _New, splits: dict[str, Features], found: LinearMap, n: int
) -> dict[str, Any]:
    words = (
        f"moved from {old.card.encoder or 'unknown'}: {len(new.pairs)} of {n} items encoded again, the others by a "
        f"linear map that leaves {100 * found.unexplained:.1f} % of the variance unexplained"
    )
    return {
        "format": FORMAT,
        "name": name,
        "revision": digest(*(part.fingerprint for part in splits.values()))[:12],
        "licence": old.card.licence,
        "citation": old.card.citation,
        "description": f"{old.card.description}; {words}" if old.card.description else words,
        "encoder": new.encoder,
        "dimension": new.pairs.dimension,
        "classes": list(old.class_names),
        "roles": {role: [role] for role in new.roles},
        "near": new.near,
        "class_split": {part: sorted(classes) for part, classes in old.class_split.items()},
    }
