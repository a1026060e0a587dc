"""Who answered which query rightly: predictions of a group, lined up by query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.columns import plain
from bench.reports.episodes import independent
from bench.reports.load import GROUP, Loaded

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """One cell's answers: those of its last session, or of all its episodes.

    Attributes
    ----------
    queries : str array [q]
        Ids of the queries, ascending; of episodes, in each of them.
    labels, predictions : int64 arrays [q]
        Class ids.
    right : bool array [q]
    top5 : bool array [q]
    confidences : float64 array [q]
    increment : float64 array [q]
        What a query adds to average incremental accuracy, times q: its mean is that metric.
    fingerprint : str
        Hash of the queries; equal ones pair.
    episode : int64 array [q] or None
        The episode of each query, 0 to e - 1 and ascending; None where there are no episodes.
    """

    queries: NDArray[np.object_]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    right: NDArray[np.bool_]
    top5: NDArray[np.bool_]
    confidences: Floats
    increment: Floats
    fingerprint: str
    episode: NDArray[np.int64] | None = None

    @property
    def recall(self) -> Floats:
        """What a query adds to mean per-class recall, times q: q right / (c n_k) for a query of class k."""
        _, inverse, counts = np.unique(self.labels, return_inverse=True, return_counts=True)
        return np.asarray(self.right * (len(self.labels) / (len(counts) * counts[inverse])))

    @property
    def hits(self) -> Floats | NDArray[np.bool_]:
        """The values whose mean is the accuracy: of each query whether it is right, or the accuracy of each episode."""
        return self.right if self.episode is None else self.by_episode(self.right)

    def by_episode(self, values: Floats | NDArray[np.bool_]) -> Floats:
        """Return the mean of values [q] in each episode [e]."""
        assert self.episode is not None
        return np.asarray(np.bincount(self.episode, values) / np.bincount(self.episode))


@dataclass(frozen=True, eq=False)
class Group:
    """The answers of one group by method and seed."""

    scenario: str
    dataset: str
    condition: str
    answers: dict[str, dict[int, Answers]]

    @property
    def name(self) -> str:
        """Names the group's random draws."""
        return f"{self.scenario}|{self.dataset}|{self.condition}"


def groups(loaded: Loaded) -> Iterator[Group]:
    """Yield each group with its answers; cells without predictions are left out."""
    last = plain(loaded.records[[*GROUP, "cell", "method", "seed"]].drop_duplicates("cell", keep="last"))
    several = independent(loaded.records)
    for (scenario, dataset, condition), part in last.groupby(GROUP, sort=True):
        table = loaded.predictions(part["cell"].tolist())
        by_cell = dict(list(table.groupby("cell", sort=False)))
        answers: dict[str, dict[int, Answers]] = {}
        for row in part[part["cell"].isin(list(by_cell))].to_dict("records"):
            cell = str(row["cell"])
            made = _of_episodes if cell in several else _answers
            found = made(by_cell[cell], loaded.queries[cell])
            answers.setdefault(str(row["method"]), {})[int(row["seed"])] = found
        yield Group(str(scenario), str(dataset), str(condition), answers)


def _answers(table: pd.DataFrame, fingerprint: str) -> Answers:
    """Return the answers in a cell's predictions, which are sorted by session and query."""
    session = table["session"].to_numpy()
    end = table[session == session.max()]
    queries = end["query"].to_numpy()
    right = (table["label"] == table["prediction"]).to_numpy()
    sizes = np.bincount(session)
    position = pd.Index(queries).get_indexer_for(table["query"]) if end["query"].is_unique else None
    share = right / sizes[session] / len(np.unique(session))
    increment = np.full(len(end), np.nan)
    if position is not None and (position >= 0).all():
        increment = np.bincount(position, weights=share, minlength=len(end)) * len(end)
    return Answers(
        queries=queries,
        labels=end["label"].to_numpy(),
        predictions=end["prediction"].to_numpy(),
        right=right[session == session.max()],
        top5=(end["rank"] < 5).to_numpy(),
        confidences=end["confidence"].to_numpy(dtype=np.float64),
        increment=increment,
        fingerprint=fingerprint,
    )


def _of_episodes(table: pd.DataFrame, fingerprint: str) -> Answers:
    """Return the answers of all episodes in a cell's predictions, which are sorted by session and query."""
    return Answers(
        queries=table["query"].to_numpy(),
        labels=table["label"].to_numpy(),
        predictions=table["prediction"].to_numpy(),
        right=(table["label"] == table["prediction"]).to_numpy(),
        top5=(table["rank"] < 5).to_numpy(),
        confidences=table["confidence"].to_numpy(dtype=np.float64),
        increment=np.full(len(table), np.nan),
        fingerprint=fingerprint,
        episode=np.unique(table["session"], return_inverse=True)[1].astype(np.int64),
    )
