"""Describes a data set: hashes, shapes, norms, label range, class coverage, overlap between splits."""

from __future__ import annotations

from typing import Any

import torch

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items
from bench.search import top_k


def _describe(x: torch.Tensor, labels: torch.Tensor, n_classes: int) -> dict[str, Any]:
    norms = x.float().norm(dim=1)
    counts = torch.bincount(labels, minlength=n_classes)
    return {
        "rows": len(x),
        "dtype": str(x.dtype).removeprefix("torch."),
        "norm_min": round(float(norms.min()), 4),
        "norm_mean": round(float(norms.mean()), 4),
        "norm_max": round(float(norms.max()), 4),
        "classes": int((counts > 0).sum()),
        "per_class_min": int(counts.min()),
        "per_class_max": int(counts.max()),
    }


def overlap(a: Features, b: Features, threshold: float) -> dict[str, int]:
    """Return how many rows of ``a`` are in ``b`` exactly, and how many have one there at the threshold's cosine."""
    near = top_k(a.x, b.x, 1).similarities.squeeze(1) >= threshold
    same = set(b.row_digests.tolist())
    return {"exact": sum(d in same for d in a.row_digests.tolist()), "near": int(near.sum())}


def inspect_dataset(dataset: Dataset, *, overlaps: bool = True) -> dict[str, Any]:
    """Return a description of a data set as plain values; a broken one raises :class:`BenchError`."""
    dataset.check()
    n = len(dataset.class_names)
    report: dict[str, Any] = {
        "name": dataset.name,
        "revision": dataset.card.revision,
        "licence": dataset.card.licence,
        "citation": dataset.card.citation,
        "encoder": dataset.card.encoder,
        "space": dataset.card.space,
        "dimension": dataset.dimension,
        "classes": n,
        "near": dataset.card.near,
        "fingerprint": dataset.fingerprint,
        "roles": {role: list(splits) for role, splits in dataset.roles.items()},
        "splits": {name: _describe(s.x, s.labels, n) for name, s in dataset.splits.items() if len(s)},
        "class_texts": f"{len(dataset.prompts)} of {n} classes",
    }
    for what, items in (("image_memory", dataset.memory.images), ("text_memory", dataset.memory.texts)):
        if len(items):
            report[what] = _describe(items.x, items.labels, n) | {"sources": _sources(items)}
    if overlaps:
        names = list(dataset.splits)
        report["overlap"] = {
            f"{a} in {b}": overlap(dataset.splits[a], dataset.splits[b], dataset.card.near)
            for i, a in enumerate(names)
            for b in names[i + 1 :]
            if len(dataset.splits[a]) and len(dataset.splits[b])
        }
    return report


def _sources(items: Items) -> dict[str, int]:
    names = items.sources.tolist()
    return {name: names.count(name) for name in sorted(set(names))}


def as_text(report: dict[str, Any]) -> str:
    """Return a description as lines for a terminal."""
    lines = [
        f"{key:<12} {report[key]}"
        for key in (
            "name",
            "revision",
            "licence",
            "citation",
            "encoder",
            "space",
            "dimension",
            "classes",
            "class_texts",
            "fingerprint",
        )
    ]
    lines += [f"role {role:<10} {', '.join(splits) or '(none)'}" for role, splits in report["roles"].items()]
    header = f"{'part':<14}{'rows':>8}  {'dtype':<8}{'norm min':>9}{'mean':>8}{'max':>8}  {'classes':>8}{'a class':>11}"
    lines += ["", header]
    parts = report["splits"] | {k: report[k] for k in ("image_memory", "text_memory") if k in report}
    for name, part in parts.items():
        spread = f"{part['per_class_min']}-{part['per_class_max']}"
        lines.append(
            f"{name:<14}{part['rows']:>8}  {part['dtype']:<8}{part['norm_min']:>9}{part['norm_mean']:>8}"
            f"{part['norm_max']:>8}  {part['classes']:>8}  {spread:>9}"
        )
        lines += [f"    {count:>6} from {source}" for source, count in part.get("sources", {}).items()]
    found = {pair: o for pair, o in report.get("overlap", {}).items() if o["near"] or o["exact"]}
    if "overlap" in report:
        lines += ["", f"overlap between splits (exact, and cosine >= {report['near']:g}):"]
        lines += [f"    {pair}: {o['exact']} exact, {o['near']} near" for pair, o in found.items()] or ["    none"]
    return "\n".join(lines)
