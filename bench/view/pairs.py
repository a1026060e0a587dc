"""Any two methods side by side, query by query."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.reports.records.labels_seen import labels_seen
from bench.reports.records.paired_predictions import PairedPredictions
from bench.reports.statistics.paired_tests import PairedComparison, paired_comparisons
from bench.utils.errors import BenchError, suggest
from bench.utils.names import printable
from bench.view.board import Board
from bench.view.leaderboard import Key, records_of

SHOWN = ("all", "disagree", "only a", "only b", "both wrong", "both right")
"""Which queries are listed."""

PAGE = 50
"""Queries on a page."""


def pair_of(
    board: Board, key: Key, a: str, b: str, *, seed: int | None, which: str, text: str = "", page: int = 0
) -> dict[str, Any]:
    """Return two methods' answers to the same queries.

    Parameters
    ----------
    board : Board
    key : tuple of str
        Scenario, data set and condition.
    a, b : str
        Methods, as the leaderboard names them.
    seed : int, optional
        By default the first that both have.
    which : str
        One of :data:`SHOWN`; the ones are right answers.
    text : str
        Only queries with this in their id or class.
    page : int
        From 0.

    Returns
    -------
    dict
        ``seeds`` that both have, ``seed``, ``counts`` (by each of :data:`SHOWN`), ``total`` (of those listed),
        ``verdict`` (the paired comparison over all seeds, as the report makes it; null without one) and ``rows``:
        ``query``, ``episode``, ``label``, and for each method its answer, confidence and whether it is right.

    Raises
    ------
    BenchError
        If there is no such group, method or seed, or the two were asked different queries.
    """
    now, group = board.group(key)
    assert now.table is not None
    for name in (a, b):
        if name not in group.predictions:
            raise BenchError(f"no predictions of {name!r} are there{suggest(name, group.predictions)}")
    first, second = group.predictions[a], group.predictions[b]
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise BenchError(f"{a} and {b} have no seed in common")
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise BenchError(f"{a} and {b} do not both have seed {seed}; they have {', '.join(map(str, seeds))}")
    one, two = first[seed], second[seed]
    if one.fingerprint != two.fingerprint or len(one.queries) != len(two.queries):
        raise BenchError(f"{a} and {b} were asked different queries with seed {seed}, so they cannot be lined up")
    chosen = _chosen(one, two)
    names = now.table.class_names.get(key[1])
    there = chosen[which if which in chosen else "all"]
    if text:
        there = there & _with_text(one, text.casefold(), names)
    places = np.flatnonzero(there)
    listed = places[page * PAGE : (page + 1) * PAGE]
    two_alone = replace(group, predictions={name: group.predictions[name] for name in (a, b)})
    seen = labels_seen(records_of(now.table, key))
    comparisons, notes = paired_comparisons([two_alone], labels_seen=seen, unequal=True)
    return {
        "seeds": seeds,
        "seed": seed,
        "counts": {name: int(mask.sum()) for name, mask in chosen.items()},
        "total": len(places),
        "page": page,
        "size": PAGE,
        "verdict": _verdict(comparisons[0], a) if comparisons else None,
        "notes": notes,
        "rows": [
            {
                "query": printable(str(one.queries[place])),
                "id": str(one.queries[place]),
                "episode": None if one.episode is None else int(one.episode[place]),
                "label": class_name(names, int(one.labels[place])),
                "a": _said(one, int(place), names),
                "b": _said(two, int(place), names),
            }
            for place in listed
        ],
    }


def class_name(names: Sequence[str] | None, label: int) -> str:
    """Return the name of a class, or its id where the run does not name it."""
    return printable(names[label]) if names is not None and label < len(names) else str(label)


def _chosen(one: PairedPredictions, two: PairedPredictions) -> dict[str, NDArray[np.bool_]]:
    a, b = one.correct, two.correct
    return {
        "all": np.ones(len(a), dtype=bool),
        "disagree": one.predictions != two.predictions,
        "only a": a & ~b,
        "only b": b & ~a,
        "both wrong": ~a & ~b,
        "both right": a & b,
    }


def _with_text(one: PairedPredictions, text: str, names: Sequence[str] | None) -> NDArray[np.bool_]:
    classes = {int(c): text in class_name(names, int(c)).casefold() for c in np.unique(one.labels)}
    pairs = zip(one.queries, one.labels, strict=True)
    return np.array([classes[int(label)] or text in str(query).casefold() for query, label in pairs], dtype=bool)


def _said(paired: PairedPredictions, place: int, names: Sequence[str] | None) -> dict[str, Any]:
    return {
        "answer": class_name(names, int(paired.predictions[place])),
        "confidence": _finite(float(paired.confidences[place])),
        "right": bool(paired.correct[place]),
    }


def _verdict(comparison: PairedComparison, a: str) -> dict[str, Any]:
    """Return a comparison as the difference of ``a`` less the other."""
    d, verdict = comparison.difference, comparison.verdict
    ends = [_finite(d.low), _finite(d.high)]
    turned = comparison.a != a
    if turned:
        ends = [None if end is None else -end for end in reversed(ends)]
        verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    return {
        "difference": -d.mean if turned else d.mean,
        "low": ends[0],
        "high": ends[1],
        "p": _finite(d.p),
        "verdict": verdict,
        "seeds": list(comparison.seeds),
        "unequal": list(comparison.unequal_labels) if comparison.unequal_labels else None,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
