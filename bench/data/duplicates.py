"""Duplicates between memory, support and queries, by content, features and pixels; and items that look misplaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.dataset import Dataset
from bench.data.image_hashes import BITS, Pixels, read_pixels
from bench.data.names import known
from bench.data.pack_files import MANIFEST
from bench.functional.item_values import left_out_margins
from bench.search import top_k
from bench.utils.errors import BenchError

_QUERY_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Part:
    """Items that are compared with other parts.

    Attributes
    ----------
    x : Tensor [n, d]
    labels : int64 Tensor [n]
        Class ids; of memory items the keyword under which they were found.
    ids : str array [n]
    """

    name: str
    x: Tensor
    labels: Tensor
    ids: np.ndarray


@dataclass(frozen=True)
class Pair:
    """An item that has a duplicate elsewhere, with the nearest.

    Attributes
    ----------
    how : str
        ``file`` for equal files, ``vector`` for equal features, ``pixels`` for perceptual hashes at most
        ``BITS`` apart, ``cosine`` for features above the threshold; the first that holds.
    """

    item: str
    other: str
    how: str
    cosine: float
    same_class: bool


@dataclass(frozen=True)
class Overlap:
    """Items of one part that have a duplicate in another: ``of`` is the part they would leak into."""

    of: str
    within: str
    pairs: tuple[Pair, ...]
    items: int

    def count(self, *how: str) -> int:
        """Return how many pairs were found in one of the given ways."""
        return sum(pair.how in how for pair in self.pairs)


@dataclass(frozen=True, eq=False)
class Labels:
    """The labelled images of a part, and how each lies among them.

    Attributes
    ----------
    part : str
    ids, names : str array [n]
        Items, and the class that each is under.
    margins : float64 array [n]
        The cosine to the mean of its class without it, less that to the nearest other class; below 0 it looks
        misplaced, NaN where it is alone in its class. See :func:`bench.functional.item_values.left_out_margins`.
    """

    part: str
    ids: np.ndarray
    names: np.ndarray
    margins: np.ndarray

    @property
    def misplaced(self) -> list[int]:
        """Rows with a margin below 0, the lowest first."""
        below = np.flatnonzero(self.margins < 0)
        return [int(row) for row in below[np.argsort(self.margins[below], kind="stable")]]

    def as_dict(self, *, items: bool = True) -> dict[str, Any]:
        """Return plain values, with a row an item if asked for."""
        rows = [
            {"item": str(item), "class": str(name), "margin": None if np.isnan(margin) else round(float(margin), 6)}
            for item, name, margin in zip(self.ids, self.names, self.margins, strict=True)
        ]
        told = {"part": self.part, "items": len(self.ids), "misplaced": len(self.misplaced)}
        return told | ({"margins": rows} if items else {})


@dataclass(frozen=True)
class Audit:
    """All overlaps of a data set, and how its labelled images lie."""

    dataset: str
    threshold: float
    overlaps: tuple[Overlap, ...]
    labels: tuple[Labels, ...] = field(default=(), compare=False)

    def as_dict(self, *, pairs: bool = True) -> dict[str, Any]:
        """Return plain values."""
        return {
            "dataset": self.dataset,
            "threshold": self.threshold,
            "labels": [part.as_dict(items=pairs) for part in self.labels],
            "overlaps": [
                {
                    "of": o.of,
                    "within": o.within,
                    "items": o.items,
                    "exact": o.count("file", "vector"),
                    "near": o.count("pixels", "cosine"),
                    "other_class": sum(not pair.same_class for pair in o.pairs),
                }
                | ({"pairs": [vars(pair) for pair in o.pairs]} if pairs else {})
                for o in self.overlaps
            ],
        }

    def as_text(self, *, show: int = 5) -> str:
        """Return lines for a terminal, with the first pairs of each overlap."""
        lines = [f"{self.dataset}: duplicates at cosine >= {self.threshold:g}"]
        for o in self.as_dict()["overlaps"]:
            head = f"{o['of']} in {o['within']}: {o['exact']} exact, {o['near']} near of {o['items']} items"
            lines.append(head + (f" ({o['other_class']} under another class)" if o["other_class"] else ""))
            for pair in o["pairs"][:show]:
                how = "" if pair["how"] == "cosine" else f"{pair['how']}  "
                lines.append(f"    {pair['item']}  =  {pair['other']}  {how}cosine {pair['cosine']:.4f}")
            if len(o["pairs"]) > show:
                lines.append(f"    ... and {len(o['pairs']) - show} more")
        for part in self.labels:
            rows = part.misplaced
            lines.append(
                f"{part.part}: {len(rows)} of {len(part.ids)} items nearer to another class's mean than theirs"
            )
            lines += [f"    {part.ids[row]}  {part.names[row]}  margin {part.margins[row]:.3f}" for row in rows[:show]]
            if len(rows) > show:
                lines.append(f"    ... and {len(rows) - show} more")
        return "\n".join(lines)


def parts_of(dataset: Dataset) -> dict[str, Part]:
    """Return queries, support, validation and image memory, those that have items."""
    found = {}
    for role in ("query", "support", "validation"):
        features = dataset.role(role)
        if len(features):
            found[role] = Part(role, features.x, features.labels, features.ids)
    images = dataset.memory.images
    if len(images):
        found["memory"] = Part("memory", images.x, images.labels, images.ids)
    return found


def audit(dataset: Dataset, *, threshold: float | None = None, pixels: Pixels | None = None) -> Audit:
    """Return the duplicates of queries in support and memory, of support in memory, and of validation in both.

    Of the support and of the image memory it also has each item's margin to the class means, which finds wrong labels.

    The nearest item is found by the exact blocked search, so memory grows with the number of items and not with its
    square. An image memory that is a split of the data set itself has all of its items in that split by design; such
    pairs, of one item with itself, are not counted.

    Parameters
    ----------
    threshold : float, optional
        Cosine from which features count as near-duplicates; left out, the one that the data set's card declares.
    pixels : Pixels, optional
        File and perceptual hashes, see :func:`bench.data.image_hashes.read_pixels`.
    """
    threshold = dataset.card.near if threshold is None else threshold
    if not 0 < threshold <= 1:
        raise BenchError(f"threshold {threshold:g} is not in (0, 1]; 0.97 is the usual one")
    parts = parts_of(dataset)
    order = [
        ("query", "support"),
        ("query", "memory"),
        ("query", "validation"),
        ("validation", "support"),
        ("validation", "memory"),
        ("support", "memory"),
    ]
    overlaps = tuple(_compare(parts[a], parts[b], threshold, pixels) for a, b in order if a in parts and b in parts)
    labels = tuple(_labels(parts[name], dataset.class_names) for name in ("support", "memory") if name in parts)
    return Audit(dataset.name, threshold, overlaps, labels)


def _labels(part: Part, class_names: tuple[str, ...]) -> Labels:
    margins = left_out_margins(part.x, part.labels, len(class_names))
    names = np.asarray(class_names)[part.labels.cpu().numpy()]
    return Labels(part.name, part.ids, names, margins.cpu().numpy())


def audit_by_name(name: str, *, threshold: float | None = None) -> Audit:
    """Return the audit of a data set by name or folder, with pixel hashes if it is a pack that has them."""
    from bench.data.registry import resolve

    dataset = resolve(name)
    entry = known().get(name)
    folder = Path(name) if (Path(name) / MANIFEST).is_file() else entry.folder if entry is not None else None
    return audit(dataset, threshold=threshold, pixels=read_pixels(folder) if folder else None)


def _own(item: str, other: str) -> bool:
    """Return whether an item of a memory declared from splits is the item itself: it is named ``PACK:SPLIT:ID``."""
    return other == item or other.endswith(f":{item}")


def _compare(a: Part, b: Part, threshold: float, pixels: Pixels | None) -> Overlap:
    pairs: dict[int, Pair] = {}
    by_bits = _nearest_bits(a, b, pixels) if pixels else {}
    # Two neighbours, since the nearest of an item may be the item itself, if the memory was declared from its split.
    for start in range(0, len(a.x), _QUERY_BLOCK):
        block = a.x[start : start + _QUERY_BLOCK]
        found = top_k(block, b.x, 2)
        near = (found.similarities >= threshold).any(1)
        wanted = set(near.nonzero().squeeze(1).tolist()) | {
            r - start for r in by_bits if start <= r < start + len(block)
        }
        for row in sorted(wanted):
            candidates = list(zip(found.positions[row].tolist(), found.similarities[row].tolist(), strict=True))
            if start + row in by_bits:
                candidates.append((by_bits[start + row], _cosine(block[row], b.x[by_bits[start + row]])))
            pair = _first(a, start + row, b, candidates, threshold, pixels)
            if pair:
                pairs[start + row] = pair
    return Overlap(a.name, b.name, tuple(pairs[row] for row in sorted(pairs)), len(a.x))


def _first(
    a: Part, row: int, b: Part, candidates: list[tuple[int, float]], threshold: float, pixels: Pixels | None
) -> Pair | None:
    for at, cosine in candidates:
        item, other = str(a.ids[row]), str(b.ids[at])
        if _own(item, other):
            continue
        how = _how(a.x[row], b.x[at], item, other, cosine, threshold, pixels)
        if how:
            return Pair(item, other, how, round(cosine, 6), bool(a.labels[row] == b.labels[at]))
    return None


def _how(
    x: Tensor, y: Tensor, item: str, other: str, cosine: float, threshold: float, pixels: Pixels | None
) -> str | None:
    if pixels and pixels.same_file(item, other):
        return "file"
    if torch.equal(x.float(), y.float()):
        return "vector"
    if pixels and pixels.bits_apart(item, other) <= BITS:
        return "pixels"
    return "cosine" if cosine >= threshold else None


def _nearest_bits(a: Part, b: Part, pixels: Pixels) -> dict[int, int]:
    """Return, for rows of ``a``, the row of ``b`` whose hash is nearest and at most ``BITS`` apart."""
    x, rows = pixels.signs(a.ids.tolist())
    y, others = pixels.signs(b.ids.tolist())
    if not rows or not others:
        return {}
    found = top_k(x, y, 2)
    bits = ((1 - found.similarities) * 32).round().long()
    result: dict[int, int] = {}
    for n, row in enumerate(rows):
        for at, apart in zip(found.positions[n].tolist(), bits[n].tolist(), strict=True):
            if apart <= BITS and not _own(str(a.ids[row]), str(b.ids[others[at]])):
                result[row] = others[at]
                break
    return result


def _cosine(x: Tensor, y: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(x.double(), y.double(), dim=0))
