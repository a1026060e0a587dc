"""What pruning and buying by value are worth at rates of wrong labels: ``python -m tools.pruning PACK ...``.

The labels of a share of the support are made wrong, by draws of a seed. Items are then left out, or bought, by their
margins to class means, by their Shapley values, by how often they mislead others (the visual-memory paper's pruning),
and at random; the queries are answered from what is left. Nothing but the last line of a comparison looks at queries.
Differences from the memory as it is are paired by query and seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.task import Task
from bench.data.registry import resolve
from bench.explain.value import values_of
from bench.learning.pruning import misleading_counts
from bench.methods.knn import KNN
from bench.methods.protonet import ProtoNet
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.statistics.paired_tests import PairedComparison, paired_comparisons
from bench.sampling.sessions import make_task
from bench.utils.random import Stream

RATES = (0.0, 0.1, 0.2, 0.3, 0.4)
METHODS = {"1-NN": KNN(k=1), "knn k=10": KNN(k=10, vote="majority"), "protonet": ProtoNet()}
AS_IS = "as it is"
Keep = Callable[[pd.DataFrame, Tensor, np.ndarray, Stream], np.ndarray]


def spoilt(labels: Tensor, classes: Sequence[int], rate: float, rng: Stream) -> tuple[Tensor, np.ndarray]:
    """Return labels of which a share is that of another class, and which are."""
    n = len(labels)
    wrong = np.zeros(n, dtype=bool)
    wrong[rng.permutation(n)[: round(rate * n)]] = True
    steps = 1 + rng.child("steps").numpy().integers(0, len(classes) - 1, n)
    table = torch.tensor(classes)
    place = torch.searchsorted(table, labels)
    other = table[(place + torch.from_numpy(steps)) % len(classes)]
    return torch.where(torch.from_numpy(wrong), other, labels), wrong


def _lowest(values: np.ndarray, count: int) -> np.ndarray:
    keep = np.ones(len(values), dtype=bool)
    keep[np.argsort(np.nan_to_num(values, nan=np.inf), kind="stable")[:count]] = False
    return keep


def _below(values: np.ndarray) -> int:
    return int((values < 0).sum())


STRATEGIES: dict[str, Keep] = {
    AS_IS: lambda v, _, wrong, rng: np.ones(len(v), dtype=bool),
    "drop margin < 0": lambda v, _, wrong, rng: ~(v["margin"].to_numpy() < 0),
    "drop value < 0": lambda v, _, wrong, rng: ~(v["shapley"].to_numpy() < 0),
    "drop most misleading": lambda v, m, wrong, rng: _lowest(-m.double().numpy(), _below(v["margin"].to_numpy())),
    "drop at random": lambda v, _, wrong, rng: _lowest(rng.permutation(len(v)), _below(v["margin"].to_numpy())),
    "drop the wrong ones": lambda v, _, wrong, rng: ~wrong,
    "buy half by margin": lambda v, _, wrong, rng: _lowest(v["margin"].to_numpy(), len(v) // 2),
    "buy half by value": lambda v, _, wrong, rng: _lowest(v["shapley"].to_numpy(), len(v) // 2),
    "buy half at random": lambda v, _, wrong, rng: _lowest(rng.permutation(len(v)), len(v) // 2),
}
"""What is kept, given values, how often items mislead, which are wrong (for the bound alone) and a stream.

As many are dropped at random and for misleading as the margin drops."""


def answers(dataset: Dataset, rate: float, seed: int) -> Iterator[tuple[str, str, np.ndarray, int]]:
    """Yield for each strategy and method the predictions [q], and how many items are left."""
    rng = Stream(seed).child("pruning", str(rate))
    support, queries = dataset.role("support"), dataset.role("query")
    classes = tuple(sorted(set(support.labels.tolist())))
    labels, wrong = spoilt(support.labels, classes, rate, rng)
    task = _task(dataset, classes, replace(support, labels=labels))
    items = task.all_images
    values = values_of(items, task, 10, "right")
    misleading = misleading_counts(items, 10)
    for name, keep in STRATEGIES.items():
        rows = keep(values, misleading, wrong, rng.child(name))
        left = _task(dataset, classes, replace(support, labels=labels).take(rows))
        for label, method in METHODS.items():
            with torch.no_grad():
                columns = method.score(method.build(left, rng=rng), queries.x.float()).argmax(1)
            yield name, label, np.asarray(classes)[columns.numpy()], int(rows.sum())


def _task(dataset: Dataset, classes: tuple[int, ...], support: Features) -> Task:
    return make_task(dataset, classes, support=support, memory=Memory.empty(dataset.dimension))


def compared(dataset: Dataset, rates: Sequence[float], seeds: int) -> pd.DataFrame:
    """Return accuracy of each strategy and its paired difference from the memory as it is."""
    queries = dataset.role("query")
    labels = queries.labels.numpy()
    rows = []
    for rate in rates:
        runs: dict[str, dict[str, dict[int, PairedPredictions]]] = {}
        left: dict[str, list[int]] = {}
        for seed in range(seeds):
            for strategy, method, found, count in answers(dataset, rate, seed):
                paired = PairedPredictions.of_answers(queries.ids, labels, found)
                runs.setdefault(method, {}).setdefault(strategy, {})[seed] = paired
                left.setdefault(strategy, []).append(count)
        for method, predictions in runs.items():
            made, _ = paired_comparisons([Group("pruning", dataset.name, str(rate), predictions)], baseline=AS_IS)
            by_name: dict[str, PairedComparison] = {one.a: one for one in made}
            for strategy, by_seed in predictions.items():
                one = by_name.get(strategy)
                rows.append(
                    {
                        "dataset": dataset.name,
                        "wrong": rate,
                        "method": method,
                        "strategy": strategy,
                        "left": float(np.mean(left[strategy])),
                        "accuracy": float(np.mean([p.correct.mean() for p in by_seed.values()])),
                        "difference": None if one is None else one.difference.mean,
                        "low": None if one is None else one.difference.low,
                        "high": None if one is None else one.difference.high,
                        "verdict": "" if one is None else one.verdict,
                    }
                )
    return pd.DataFrame(rows)


def table(found: pd.DataFrame, method: str) -> list[str]:
    """Return accuracy of one method as a Markdown table: strategies by data set and rate, * where it is told apart."""
    some = found[found["method"] == method]
    heads = list(dict.fromkeys(zip(some["dataset"], some["wrong"], strict=True)))
    lines = ["| " + " | ".join([method, *(f"{d}, {100 * r:.0f} %" for d, r in heads)]) + " |"]
    lines.append("| --- |" + " ---: |" * len(heads))
    for strategy in dict.fromkeys(some["strategy"]):
        cells = []
        for dataset, rate in heads:
            row = some[(some["dataset"] == dataset) & (some["wrong"] == rate) & (some["strategy"] == strategy)].iloc[0]
            cells.append(f"{100 * row['accuracy']:.1f}" + {"better": " +", "worse": " -"}.get(row["verdict"], ""))
        lines.append("| " + " | ".join([strategy, *cells]) + " |")
    return lines


def main() -> None:
    """Print a table a method, and write all numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", nargs="+", help="packs with support and queries")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="shares of wrong labels")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a CSV file for all numbers")
    given = parser.parse_args()
    found = pd.concat([compared(resolve(pack), given.rates, given.seeds) for pack in given.packs], ignore_index=True)
    if given.out is not None:
        found.to_csv(given.out, index=False)
    for method in METHODS:
        print("\n".join(table(found, method)), end="\n\n")


if __name__ == "__main__":
    main()
