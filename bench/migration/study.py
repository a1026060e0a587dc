"""What a memory that was moved to another encoder by a linear map answers, against one that was encoded again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.classifier.model import chosen_method, fitted
from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.scored import scored
from bench.core.task import Task
from bench.cost.flops import Counter
from bench.functional.linear_map import LinearMap, fit_map
from bench.migration.pairs import EncodedTwice
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.statistics.paired_tests import PairedComparison, paired_comparisons
from bench.utils.errors import BenchError
from bench.utils.random import Stream

AGAIN, OLD, MEMORY, QUERIES = "all again", "old", "memory mapped", "queries mapped"
ALONE, MIXED = "pairs alone", "rest mapped"
WAYS = {
    OLD: "the old memory answers queries of the old encoder: nothing is moved",
    MEMORY: "the old memory is mapped into the new space once and answers new queries",
    QUERIES: "each new query is mapped into the old space; the old memory stays",
    MIXED: "the pairs lie in the new space as encoded, and the rest of the memory is mapped there",
    ALONE: "the pairs alone are the memory, in the new space: what they are worth without a map",
    AGAIN: "the whole memory is encoded again",
}
"""Ways to answer, each with what is done."""
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of moving with one method and number of pairs, mean over draws of the pairs.

    Attributes
    ----------
    pairs : int
        Items encoded twice; 0 where that plays no part.
    comparison : PairedComparison or None
        Accuracy less that of encoding all again, corrected over all rows of the method; None of that itself.
    encoding_flops, encoding_seconds
        What the new encoder takes for the items, once; None if unknown.
    map_flops, map_seconds
        What learning the map, and applying it to the memory, takes, once.
    query_flops : int
        What each query costs more than with a memory encoded again.
    nbytes : int
        What is stored anew: features in float32, or the map where queries need it.
    unexplained : float or None
        See :class:`bench.functional.linear_map.LinearMap`.
    """

    method: str
    pairs: int
    way: str
    accuracy: float
    comparison: PairedComparison | None
    encoding_flops: int | None
    encoding_seconds: float | None
    map_flops: int = 0
    map_seconds: float = 0.0
    query_flops: int = 0
    nbytes: int = 0
    unexplained: float | None = None


@dataclass(frozen=True)
class _Moved:
    """A map with what it took."""

    map: LinearMap
    flops: int
    seconds: float


Place = tuple[str, int]
"""A way, and the pairs it has."""


def curve(
    twice: EncodedTwice, numbers: Sequence[int], *, methods: Sequence[str] = ("knn", "protonet"), seeds: int = 5
) -> tuple[list[Row], pd.DataFrame]:
    """Return each way to answer with its accuracy and cost, and all answers.

    The pairs are drawn among the items by seed, so that N of them are a prefix of N + 1. A map is learnt on pairs
    alone; queries are answered, and their labels only compared.

    Parameters
    ----------
    numbers : sequence of int
        Numbers of pairs, each at least 2 and at most the number of items.
    methods : sequence of str
        Names, with parameters as ``knn:k=16``, that need labelled images alone.
    seeds : int
        Draws of the pairs.

    Returns
    -------
    list of Row
    DataFrame
        ``method``, ``way``, ``pairs``, ``seed``, ``query``, ``label``, ``prediction`` (class ids).

    Raises
    ------
    BenchError
        For numbers of pairs that there are not, no method, and methods that need more than images.
    """
    n = len(twice.items[0])
    if not numbers or seeds < 1:
        raise BenchError("a curve needs a number of pairs and a seed; give --pairs and --seeds")
    for number in numbers:
        if not 2 <= number <= n:
            raise BenchError(f"--pairs {number}: a map is learnt on 2 items or more, and the memory has {n}")
    recipes = dict(chosen_method(name) for name in methods)
    if not recipes:
        raise BenchError("a curve needs a method that answers; give --methods, or leave it out for knn and protonet")
    answers: dict[str, dict[Place, dict[int, np.ndarray]]] = {label: {} for label in recipes}
    moved: dict[Place, list[_Moved]] = {}

    def ask(place: Place, seed: int, items: Features, queries: Features) -> None:
        for label, recipe in recipes.items():
            answers[label].setdefault(place, {})[seed] = _answers(recipe, label, items, queries, seed)

    (old, new), (old_queries, new_queries) = twice.items, twice.queries
    for seed in range(seeds):
        ask((OLD, 0), seed, old, old_queries)
        ask((AGAIN, 0), seed, new, new_queries)
        order = Stream(seed).child("migrate").order(old.ids)
        for number in sorted(set(numbers)):
            pairs = order[:number]
            there, memory = _moved(old, new, pairs, apply=True)
            ask((MEMORY, number), seed, replace(new, x=memory.clone()), new_queries)
            back, _ = _moved(new, old, pairs, apply=False)
            memory[torch.from_numpy(pairs)] = new.x[torch.from_numpy(pairs)].float()
            ask((MIXED, number), seed, replace(new, x=memory), new_queries)
            ask((QUERIES, number), seed, old, replace(old_queries, x=_mapped(back.map, new_queries.x)))
            ask((ALONE, number), seed, new.take(pairs), new_queries)
            moved.setdefault((MEMORY, number), []).append(there)
            moved.setdefault((MIXED, number), []).append(there)
            moved.setdefault((QUERIES, number), []).append(back)
    tables = [
        _table(twice, label, place, seed, found)
        for label, by_place in answers.items()
        for place, by_seed in by_place.items()
        for seed, found in by_seed.items()
    ]
    rows = [row for label in recipes for row in _rows(twice, label, answers[label], moved)]
    return rows, pd.concat(tables, ignore_index=True)


def _moved(x: Features, y: Features, pairs: np.ndarray, *, apply: bool) -> tuple[_Moved, Tensor]:
    """Return the map from x to y with what learning it takes, and what it makes of all of x if it is applied."""
    rows = torch.from_numpy(pairs)
    counter, start = Counter(), time.perf_counter()
    with counter, torch.no_grad():
        found = fit_map(x.x[rows], y.x[rows])
        made = _mapped(found, x.x if apply else x.x[:0])
    return _Moved(found, counter.products + counter.elementwise, time.perf_counter() - start), made


def _mapped(found: LinearMap, x: Tensor) -> Tensor:
    return torch.cat([found(part) for part in x.split(_BLOCK)])


def _answers(recipe: Any, label: str, items: Features, queries: Features, seed: int) -> np.ndarray:
    """Return class ids [q]; only classes that have an item can be answered."""
    classes = tuple(sorted(set(items.labels.tolist())))
    if len(classes) < 2:
        return np.full(len(queries), classes[0])
    task = Task(
        classes=classes,
        class_names=tuple(items.class_names[c] for c in classes),
        support=replace(items, x=items.x.float()),
        memory=Memory.empty(items.dimension),
        prompts=Features.empty(items.dimension, items.class_names),
    )
    method, state = fitted(recipe, task, seed=seed, label=label)
    with torch.no_grad():
        columns = torch.cat([scored(method, state, part.float(), label).argmax(1) for part in queries.x.split(_BLOCK)])
    found: np.ndarray = np.asarray(classes)[columns.cpu().numpy()]
    return found


def _rows(
    twice: EncodedTwice,
    method: str,
    answers: Mapping[Place, Mapping[int, np.ndarray]],
    moved: Mapping[Place, Sequence[_Moved]],
) -> list[Row]:
    """Return the rows of a method, by number of pairs."""
    queries = twice.queries[0]
    labels = queries.labels.cpu().numpy()
    paired = {
        place: {seed: PairedPredictions.of_answers(queries.ids, labels, found) for seed, found in by_seed.items()}
        for place, by_seed in answers.items()
    }
    named = {f"{way} {number}": by_seed for (way, number), by_seed in paired.items()}
    made, _ = paired_comparisons([Group("migrate", twice.dataset, "", named)], baseline=f"{AGAIN} 0")
    against = {one.a: one for one in made}
    n, width = len(twice.items[0]), 4 * twice.items[1].dimension
    rows = []
    for way, number in sorted(paired, key=lambda place: (place[0] == AGAIN, place[1])):
        used = moved.get((way, number), ())
        encoded = {OLD: 0, AGAIN: n}.get(way, number)
        stored = {MEMORY: n, MIXED: n, ALONE: number, AGAIN: n}.get(way, 0) * width
        rows.append(
            Row(
                method=method,
                pairs=number,
                way=way,
                accuracy=float(np.mean([one.correct.mean() for one in paired[way, number].values()])),
                comparison=against.get(f"{way} {number}"),
                encoding_flops=None if encoded and twice.flops is None else encoded * (twice.flops or 0),
                encoding_seconds=None if encoded and twice.seconds is None else encoded * (twice.seconds or 0.0),
                map_flops=round(float(np.mean([one.flops for one in used]))) if used else 0,
                map_seconds=float(np.median([one.seconds for one in used])) if used else 0.0,
                query_flops=2 * twice.items[0].dimension * twice.items[1].dimension if way == QUERIES else 0,
                nbytes=used[0].map.nbytes if way == QUERIES else stored,
                unexplained=float(np.mean([one.map.unexplained for one in used])) if used else None,
            )
        )
    return rows


def _table(twice: EncodedTwice, method: str, place: Place, seed: int, found: np.ndarray) -> pd.DataFrame:
    queries = twice.queries[0]
    return pd.DataFrame(
        {
            "method": method,
            "way": place[0],
            "pairs": place[1],
            "seed": seed,
            "query": queries.ids,
            "label": queries.labels.cpu().numpy(),
            "prediction": found,
        }
    )
