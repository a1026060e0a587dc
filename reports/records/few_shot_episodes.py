"""Few-shot episodes: sessions of one cell that are problems of their own, so that their scores are averaged."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from bench.reports.records.arrow_columns import lists, plain


def independent(records: pd.DataFrame) -> set[str]:
    """Return the cells whose sessions are independent: there are several, and each was built from nothing."""
    codes, cells = pd.factorize(records["cell"])
    sessions = np.bincount(codes)
    built = np.bincount(codes, records["session_kind"] == "built")
    return set(cells[(built == sessions) & (sessions > 1)])


def scores(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell of episodes: accuracy and mean per-class recall, each the mean over its episodes."""
    counts = ["class_correct", "class_total"]
    frame = records[["cell", "session", "n_correct", "n_queries", *counts]]
    frame = frame.sort_values(["cell", "session"], kind="stable", ignore_index=True)
    (correct, starts), (total, _) = (lists(frame[name]) for name in counts)
    owner = np.repeat(np.arange(len(frame)), np.diff(starts))
    asked = total > 0
    recall = np.bincount(owner[asked], correct[asked] / total[asked]) / np.bincount(owner[asked])
    table = frame.assign(accuracy=frame["n_correct"] / frame["n_queries"], mean_class_recall=recall)
    return table.groupby("cell")[["accuracy", "mean_class_recall"]].mean().reset_index()


def facts(records: pd.DataFrame) -> pd.DataFrame:
    """Return, by cell of episodes, how many episodes and how many queries in all of them."""
    grouped = records.groupby("cell")
    return pd.DataFrame({"episodes": grouped.size(), "n_queries": grouped["n_queries"].sum()})


def fingerprints(records: pd.DataFrame) -> dict[str, str]:
    """Return, by cell, the hash of the queries it is scored on: of the last session, or of all its episodes in order.

    Cells with equal ones pair, query by query.
    """
    read = records[["cell", "session", "queries_fingerprint"]]
    of_episodes = read["cell"].isin(independent(records)).to_numpy()
    last = plain(read[~of_episodes].sort_values("session", kind="stable").drop_duplicates("cell", keep="last"))
    by_cell = dict(zip(last["cell"], last["queries_fingerprint"].astype("str"), strict=True))
    episodes = plain(read[of_episodes].sort_values(["cell", "session"], kind="stable"))
    return by_cell | {
        str(cell): hashlib.sha256("\x1f".join(map(str, values)).encode()).hexdigest()
        for cell, values in episodes.groupby("cell")["queries_fingerprint"]
    }
