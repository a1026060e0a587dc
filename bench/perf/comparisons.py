"""The harness beside what one would use instead: each comparison is defined here, once.

``bench perf`` times them on the user's machine, ``tests/speed`` in the project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import faiss
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from bench.functional.attention import Block, integrate, integrate_each, standardise
from bench.functional.classwise import class_means, neighbour_votes, normalise
from bench.functional.gaussian import Moments, discriminant, solve
from bench.perf.linear_probe import objectives, path, sklearn
from bench.reports.metrics.per_cell import scores
from bench.reports.records.arrow_columns import compact
from bench.search import Index, top_k
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Trial:
    """Two or more ways to one answer.

    Attributes
    ----------
    sides : mapping of str to callable
        Each returns the answer; the first is the harness's own.
    tolerance : float
        How far two answers may be apart, absolutely.
    """

    sides: Mapping[str, Callable[[], Tensor]]
    tolerance: float


@dataclass(frozen=True)
class Comparison:
    """A trial that can be set up, by name.

    Attributes
    ----------
    devices : tuple of str
        Where it can run.
    """

    name: str
    what: str
    make: Callable[[str], Trial]
    devices: tuple[str, ...] = ("cpu", "cuda")


def draw(n: int, d: int, purpose: str, device: str = "cpu") -> Tensor:
    """Return random unit vectors, float32 [n, d]."""
    drawn = Stream(0).child("perf", purpose).numpy().standard_normal((n, d), dtype=np.float32)
    return normalise(torch.from_numpy(drawn)).to(device)


def _search(device: str) -> Trial:

    keys, queries = draw(50_000, 512, "keys", device), draw(2000, 512, "queries", device)
    index = Index(keys)
    sides = {
        # A copy, since an index answers the same queries from what it remembers.
        "exact": lambda: index.search(queries.clone(), 32).similarities,
        "torch_topk": lambda: torch.cat([(part @ keys.T).topk(32).values for part in queries.split(250)]),
    }
    if device == "cpu":
        flat = faiss.IndexFlatIP(512)
        flat.add(keys.numpy())
        sides["faiss_flat"] = lambda: torch.from_numpy(flat.search(queries.numpy(), 32)[0])
    return Trial(sides, 1e-5)


def _vote(device: str) -> Trial:
    """Answer with the votes of each class, of which those equal differ by who was there first."""
    q, k, n_classes = 2000, 100, 1000
    drawn = Stream(0).child("perf", "votes").numpy().integers(n_classes, size=(q, k))
    weights = (1 / torch.arange(2.0, k + 2, dtype=torch.float64)).expand(q, k).to(device)
    columns, places = torch.from_numpy(drawn).to(device), torch.arange(k, dtype=torch.float64, device=device)

    def naive() -> Tensor:
        rows = []
        for chosen, weight in zip(columns, weights, strict=True):
            votes = torch.bincount(chosen, weight, minlength=n_classes)
            reached = torch.full_like(votes, -1).scatter_reduce(0, chosen, places, "amax")
            reached = torch.where(reached < 0, float(k), reached)
            best = votes.max()
            winner = torch.where(votes == best, reached, float(k)).argmin()
            rows.append(votes - (reached + 1) * (1e-12 / (k + 1) * best))
            rows[-1][winner] = best
        return torch.stack(rows)

    def in_numpy() -> Tensor:
        flat = columns.numpy() + n_classes * np.arange(q)[:, None]
        votes = np.bincount(flat.ravel(), weights.numpy().ravel(), minlength=q * n_classes).reshape(q, n_classes)
        reached = np.full(q * n_classes, float(k))
        for place in range(k):
            reached[flat[:, place]] = place
        last, best = reached.reshape(q, n_classes), votes.max(1, keepdims=True)
        winner = np.where(votes == best, last, float(k)).argmin(1)
        scores = votes - (last + 1) * (1e-12 / (k + 1) * best)
        scores[np.arange(q), winner] = best[:, 0]
        return torch.from_numpy(scores)

    sides = {"neighbour_votes": lambda: neighbour_votes(columns, weights, n_classes), "naive": naive}
    return Trial(sides | ({"numpy": in_numpy} if device == "cpu" else {}), 1e-15)


def _prototypes(device: str) -> Trial:
    x, columns = draw(50_000, 512, "keys", device), (torch.arange(50_000) % 1000).to(device)
    return Trial(
        {
            "class_means": lambda: class_means(x, columns, 1000),
            "naive": lambda: torch.stack([x[columns == c].mean(0) for c in range(1000)]),
        },
        1e-5,
    )


def _linear_probe(device: str) -> Trial:

    return Trial({"path": lambda: objectives(path()), "sklearn": lambda: objectives(sklearn())}, 1e-4)


def _mml_step(device: str) -> Trial:

    block, f = _block(device), draw(_BATCH, 512, "f", device) * 10
    items = standardise(draw(_BATCH * 32, 512, "items", device).view(_BATCH, 32, 512))
    return Trial(
        {
            "folded": lambda: _step(block, integrate(block, f, items)),
            "per_neighbour": lambda: _step(block, integrate_each(block, f, items)),
        },
        1e-2,
    )


def _mml_epoch(device: str) -> Trial:
    """Answer with a batch's integrated features; in training neighbours are found once, before all epochs."""
    block, f = _block(device), draw(_BATCH, 512, "f", device) * 10
    memory = draw(200_000, 512, "memory", device)
    known = top_k(f, memory, 32).positions

    def recomputed() -> Tensor:
        near = (f @ memory.T).topk(32).indices
        return _step(block, integrate_each(block, f, standardise(memory[near] * 10)))

    return Trial(
        {
            "found_before": lambda: _step(block, integrate(block, f, standardise(memory[known] * 10))),
            "in_every_batch": recomputed,
        },
        1e-2,
    )


_BATCH = 256


def _block(device: str) -> Block:

    return Block.initial(512, Stream(0)).map(lambda w: w.to(device).requires_grad_(True))


def _step(block: Block, out: Tensor) -> Tensor:
    """Return integrated features, and take the gradient of all weights on the way."""
    # The bias of K cancels in the softmax, and the folded form does not use it.
    torch.autograd.grad(out.square().sum(), block.tensors(), allow_unused=True)
    return out.detach()


def _incremental(device: str) -> Trial:
    """Answer with the scores of the last of ten sessions of 20 classes with 50 images each."""
    x, queries = draw(10_000, 512, "images", device), draw(100, 512, "queries", device)
    sessions = [(x[n : n + 1000], torch.arange(n // 50, n // 50 + 20).repeat(50)) for n in range(0, 10_000, 1000)]

    def scores(moments: Moments) -> Tensor:
        means = moments.means()
        shrunk = moments.scatter() / moments.n + 1e-2 * torch.eye(512, dtype=torch.float64, device=device)
        return discriminant(means, solve(shrunk, means))(queries.double())

    def extended() -> Tensor:
        moments = Moments.of(*sessions[0], 20)
        for n, session in enumerate(sessions[1:], 2):
            moments = moments.plus(Moments.of(*session, 20 * n))
            found = scores(moments)
        return found

    def rebuilt() -> Tensor:
        for n in range(1, len(sessions) + 1):
            images, columns = (torch.cat(part) for part in zip(*sessions[:n], strict=True))
            found = scores(Moments.of(images, columns, 20 * n))
        return found

    return Trial({"extended": extended, "rebuilt": rebuilt}, 1e-6)


def _report(device: str) -> Trial:
    """Answer with accuracy, its mean over sessions, mean per-class recall and forgetting of each cell."""
    table = _records(cells=500)
    names = ["accuracy", "average_incremental_accuracy", "mean_class_recall", "forgetting"]

    def naive() -> pd.DataFrame:
        counts = table.to_pandas().explode(["classes", "class_total", "class_correct"])
        counts = counts.astype({"class_total": int, "class_correct": int})
        counts["right"] = counts["class_correct"] / counts["class_total"]
        sums = counts.pivot_table(["class_correct", "class_total"], "cell", "session", aggfunc="sum")
        accuracy = sums["class_correct"] / sums["class_total"]
        last = counts["session"] == counts["session"].max()
        now = counts[last].set_index(["cell", "classes"])["right"]
        arrived = counts[~last].sort_values("session").groupby(["cell", "classes"])["right"].first()
        means = [accuracy.iloc[:, -1], accuracy.mean(axis=1), now.groupby("cell").mean()]
        found: pd.DataFrame = pd.concat([*means, (arrived - now).dropna().groupby("cell").mean()], axis=1)
        return found

    return Trial(
        {
            "scores": lambda: torch.from_numpy(scores(compact(table)).last[names].to_numpy(dtype=np.float64)),
            "naive": lambda: torch.from_numpy(naive().to_numpy(dtype=np.float64)),
        },
        1e-9,
    )


def _records(cells: int) -> pa.Table:
    """Return what a file of class-incremental records holds for scores: ten sessions of ten classes a cell."""
    random = Stream(0).child("perf", "report").numpy()
    rows = []
    for cell in range(cells):
        order = random.permutation(100).tolist()
        for session in range(10):
            classes = sorted(order[: 10 * (session + 1)])
            correct = random.binomial(10, 0.7, len(classes)).tolist()
            kind = "extended" if session else "built"
            rows.append((f"{cell:04d}", session, kind, classes, correct, [10] * len(classes)))
    names = ["cell", "session", "session_kind", "classes", "class_correct", "class_total"]
    return pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})


COMPARISONS = (
    Comparison("search", "50,000 x 512, 2000 queries, k = 32", _search),
    Comparison("vote", "2000 queries, 100 neighbours, 1000 classes, ties by who was first", _vote),
    Comparison("prototypes", "50,000 x 512, 1000 classes", _prototypes),
    Comparison("linear-probe", "a sweep of 16 C, each to 1e-4, 800 x 256, 50 classes", _linear_probe, ("cpu",)),
    Comparison("mml-train-step", "batch 256, k = 32, d = 512", _mml_step),
    Comparison("mml-train-epoch", "a batch of 256 and a memory of 200,000, k = 32, d = 512", _mml_epoch),
    Comparison("incremental", "ten sessions of 20 classes, 50 images a class, d = 512", _incremental, ("cpu",)),
    Comparison("report", "scores of 500 cells of ten sessions, 100 classes", _report, ("cpu",)),
)
"""All comparisons, in the order in which they are shown."""
