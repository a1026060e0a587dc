"""Per-query correctness of each method: the predictions of a group, lined up by query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.records.arrow_columns import plain
from bench.reports.records.few_shot_episodes import independent
from bench.reports.records.keys import GROUP
from bench.reports.records.oracle import ORACLE
from bench.reports.records.run_table import RunTable

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class History:
    """Answers of all sessions of a class-incremental cell, one row an answer.

    Attributes
    ----------
    session : int64 array [r]
        From 0.
    place : int64 array [r]
        Which of the last session's queries was asked.
    label : int64 array [r]
    correct : bool array [r]
    """

    session: NDArray[np.int64]
    place: NDArray[np.int64]
    label: NDArray[np.int64]
    correct: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PairedPredictions:
    """Predictions of one cell in the order of its queries, so that those of two methods pair.

    They are those of its last session, or of all its few-shot episodes.

    Attributes
    ----------
    queries : str array [q]
        Ids of the queries, ascending; of episodes, in each of them.
    labels, predictions : int64 arrays [q]
        Class ids.
    correct : bool array [q]
        Whether the prediction is the label.
    confidences : float64 array [q]
        Softmax probability of the prediction.
    ranks : int64 array [q]
        How many classes score above the label.
    set_sizes : float64 array [q]
        How many of the likeliest classes are in the query's set; NaN where there are no sets.
    fingerprint : str
        Hash of the queries; equal ones pair.
    episode : int64 array [q] or None
        The episode of each query, 0 to e - 1 and ascending; None where there are no episodes.
    history : History or None
        The answers of all sessions; None where there is one session, or where sessions are episodes.
    clusters : int64 array [q] or None
        Queries that are drawn together, by number; None where each is drawn on its own.
    classes_drawn : bool
        Whether the clusters are the classes, which then are a sample of classes.
    calibrated : bool
        Whether the confidences are of scores over a temperature that was fitted on held-out labelled images.
    """

    queries: NDArray[np.object_]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    correct: NDArray[np.bool_]
    confidences: Floats
    ranks: NDArray[np.int64]
    set_sizes: Floats
    fingerprint: str
    episode: NDArray[np.int64] | None = None
    history: History | None = None
    clusters: NDArray[np.int64] | None = None
    classes_drawn: bool = False
    calibrated: bool = False

    @staticmethod
    def of_answers(
        queries: NDArray[np.object_] | NDArray[np.str_], labels: NDArray[np.int64], predictions: NDArray[np.int64]
    ) -> PairedPredictions:
        """Return answers that are known without their scores, in any order of the queries, which are the same ones.

        Parameters
        ----------
        queries : str array [q]
            Ids, each once.
        labels, predictions : int64 arrays [q]
            Class ids.
        """
        order = np.argsort(queries, kind="stable")
        correct = predictions[order] == labels[order]
        return PairedPredictions(
            queries=queries[order].astype(object),
            labels=labels[order],
            predictions=predictions[order],
            correct=correct,
            confidences=np.ones(len(order)),
            # Without scores nothing is known of the other classes.
            ranks=np.where(correct, 0, 5),
            set_sizes=np.full(len(order), np.nan),
            fingerprint="the same queries",
        )

    def pairs_with(self, other: PairedPredictions) -> bool:
        """Return whether another method answered the same queries, so that answers can be compared one by one."""
        same = self.fingerprint == other.fingerprint and len(self.queries) == len(other.queries)
        return same and bool((self.queries == other.queries).all())

    @property
    def top5(self) -> NDArray[np.bool_]:
        """Whether the right class is among the five likeliest [q]."""
        return self.ranks < 5

    @property
    def in_set(self) -> NDArray[np.bool_] | None:
        """Whether the right class is in the query's set [q]; None without sets."""
        return None if np.isnan(self.set_sizes).any() else self.ranks < self.set_sizes

    @property
    def per_query_accuracy(self) -> Floats | NDArray[np.bool_]:
        """The values whose mean is the accuracy: whether each query is right [q], or the accuracy of episodes [e]."""
        return self.correct if self.episode is None else self.by_episode(self.correct)

    def by_episode(self, values: Floats | NDArray[np.bool_]) -> Floats:
        """Return the mean of values [q] in each episode [e]."""
        assert self.episode is not None
        return np.asarray(np.bincount(self.episode, values) / np.bincount(self.episode))


@dataclass(frozen=True, eq=False)
class Group:
    """The predictions of one scenario, data set and condition, by method and seed."""

    scenario: str
    dataset: str
    condition: str
    predictions: dict[str, dict[int, PairedPredictions]]

    @property
    def key(self) -> tuple[str, str, str]:
        """Scenario, data set and condition."""
        return self.scenario, self.dataset, self.condition

    @property
    def name(self) -> str:
        """Names the group's random draws."""
        return f"{self.scenario}|{self.dataset}|{self.condition}"


def groups(run_table: RunTable, *, classes: bool = False) -> Iterator[Group]:
    """Yield each group with its predictions; cells without them are left out.

    With ``classes``, the queries of a class are drawn together: what is computed from them speaks for new classes.
    """
    columns = [*GROUP, "cell", "method", "seed", *({"temperature"} & set(run_table.records))]
    last = plain(run_table.records[columns].drop_duplicates("cell", keep="last"))
    of_episodes = independent(run_table.records)
    for (scenario, dataset, condition), part in last.groupby(GROUP, sort=True):
        table = run_table.predictions(part["cell"].tolist())
        by_cell = dict(list(table.groupby("cell", sort=False)))
        by_method: dict[str, dict[int, PairedPredictions]] = {}
        for row in part[part["cell"].isin(list(by_cell))].to_dict("records"):
            cell = str(row["cell"])
            paired = _all_episodes if cell in of_episodes else _last_session
            by_seed = by_method.setdefault(str(row["method"]), {})
            made = paired(by_cell[cell], run_table.queries[cell])
            made = replace(made, calibrated=bool(pd.notna(row.get("temperature"))))
            if classes and made.episode is None:
                made = replace(made, clusters=np.unique(made.labels, return_inverse=True)[1], classes_drawn=True)
            by_seed[int(row["seed"])] = made
        yield Group(str(scenario), str(dataset), str(condition), by_method)


def without_oracles(groups: Iterable[Group], records: pd.DataFrame) -> list[Group]:
    """Return the groups without methods that chose on the queries; fair figures are compared among themselves."""
    names = set(records.loc[records["selection"] == ORACLE, "method"])
    return [
        replace(group, predictions={m: p for m, p in group.predictions.items() if m not in names}) for group in groups
    ]


def _last_session(table: pd.DataFrame, fingerprint: str) -> PairedPredictions:
    """Return the last of a cell's predictions, which are sorted by session and query."""
    session = table["session"].to_numpy()
    end = table[session == session.max()]
    correct = (table["label"] == table["prediction"]).to_numpy()
    return PairedPredictions(
        queries=end["query"].to_numpy(),
        labels=end["label"].to_numpy(),
        predictions=end["prediction"].to_numpy(),
        correct=correct[session == session.max()],
        confidences=end["confidence"].to_numpy(dtype=np.float64),
        ranks=end["rank"].to_numpy(),
        set_sizes=_set_sizes(end),
        fingerprint=fingerprint,
        history=_history(table, end, correct),
        clusters=_clusters(end),
    )


def _set_sizes(table: pd.DataFrame) -> Floats:
    """Return the sizes of sets [q]; NaN in files that have none."""
    if "set_size" not in table:
        return np.full(len(table), np.nan)
    return np.asarray(pd.to_numeric(table["set_size"]), dtype=np.float64)


def _clusters(end: pd.DataFrame) -> NDArray[np.int64] | None:
    """Return numbers of the clusters of near-duplicate queries [q], a query without one alone; None without any."""
    if "cluster" not in end or end["cluster"].isna().all():
        return None
    names = end["cluster"].astype(object)
    alone = "query " + end["query"].astype(str)
    return np.unique(names.where(names.notna(), alone).astype(str), return_inverse=True)[1].astype(np.int64)


def _history(table: pd.DataFrame, end: pd.DataFrame, correct: NDArray[np.bool_]) -> History | None:
    """Return the answers of all sessions; None for one session, or if a query is not among the last session's."""
    session = np.unique(table["session"], return_inverse=True)[1].astype(np.int64)
    if session.max(initial=0) == 0 or not end["query"].is_unique:
        return None
    place = np.asarray(pd.Index(end["query"]).get_indexer_for(table["query"]), dtype=np.int64)
    return History(session, place, table["label"].to_numpy(), correct) if (place >= 0).all() else None


def _all_episodes(table: pd.DataFrame, fingerprint: str) -> PairedPredictions:
    """Return a cell's predictions in all episodes, which are sorted by session and query."""
    return PairedPredictions(
        queries=table["query"].to_numpy(),
        labels=table["label"].to_numpy(),
        predictions=table["prediction"].to_numpy(),
        correct=(table["label"] == table["prediction"]).to_numpy(),
        confidences=table["confidence"].to_numpy(dtype=np.float64),
        ranks=table["rank"].to_numpy(),
        set_sizes=_set_sizes(table),
        fingerprint=fingerprint,
        episode=np.unique(table["session"], return_inverse=True)[1].astype(np.int64),
    )
