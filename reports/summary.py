"""The summary: a row a method x group x seed, then the mean over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.reports import cost, episodes
from bench.reports.columns import lengths, plain
from bench.reports.cost import COSTS
from bench.reports.estimates import EXTRA, Key
from bench.reports.intervals import Estimate, t_interval, wilson
from bench.reports.load import CELL, GROUP
from bench.reports.scores import COUNTED, INCREMENTAL, Scores

SCORES = ["accuracy", "mean_class_recall", *EXTRA, *INCREMENTAL]
"""Metrics of a cell, all in [-1, 1]; ``accuracy`` is over the queries of the last session.

Of a cell of independent episodes they are means over episodes, and calibration error is over the queries of all."""

SIGNED = ["forgetting", "backward_transfer", "forward_transfer"]
"""Scores that can be negative; bounds of the others are cut at 0, and all at 1."""

FACTS = ["sessions", "episodes", "n_classes", "n_queries", "fidelity", "selection", "encoder", "branches"]


def per_cell(records: pd.DataFrame, scored: Scores, extra: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell: what it is, its scores after the last session, and its cost.

    ``scored`` is what :func:`bench.reports.scores.scores` makes of the records; ``extra`` holds the scores that need
    predictions, and a cell that is not in it has null for them.
    """
    apart = records[records["cell"].isin(episodes.independent(records))]
    parts = [scored.last] if len(scored.last) else []
    parts += [episodes.scores(apart).reindex(columns=["cell", *COUNTED])] if len(apart) else []
    ends = pd.concat(parts, ignore_index=True).set_index("cell")
    read = [*CELL, "n_queries", "fidelity", "selection", "encoder", "branches"]
    frame = records[["cell", "session", *read]].assign(n_classes=lengths(records["classes"]))
    frame = frame.sort_values(["cell", "session"], kind="stable")
    last = plain(frame.drop_duplicates("cell", keep="last")).set_index("cell")
    facts = last[[*read, "n_classes"]].assign(sessions=frame.groupby("cell").size())
    dealt = episodes.facts(apart)
    facts["n_queries"] = dealt["n_queries"].reindex(facts.index).fillna(facts["n_queries"]).astype("int64")
    facts["episodes"] = dealt["episodes"].reindex(facts.index).astype("Int64")
    joined = facts.join(cost.per_cell(records)).join(ends).reset_index()
    joined = joined.merge(extra, on=CELL, how="left")
    return joined.sort_values(CELL, ignore_index=True)[[*CELL, *FACTS, *SCORES, *COSTS, "cell"]]


def per_session(records: pd.DataFrame, scored: Scores) -> pd.DataFrame:
    """Return one row a cell and session: accuracy on all, old and new classes, and mean per-class recall."""
    named = records[[*CELL, "cell"]].drop_duplicates("cell").sort_values(CELL, kind="stable", ignore_index=True)
    place = pd.Series(named.index, index=named["cell"].astype("str"))[scored.last["cell"]].to_numpy()
    frame = scored.sessions.assign(place=place[scored.sessions["place"]])
    frame = frame.sort_values(["place", "session"], ignore_index=True)
    cells = named.iloc[frame["place"].to_numpy(dtype=np.int64)].reset_index(drop=True)
    return cells[CELL].join(frame.drop(columns="place")).assign(cell=cells["cell"])


def over_seeds(cells: pd.DataFrame, bounds: Mapping[Key, Estimate]) -> pd.DataFrame:
    """Return one row a group and method: the mean over its seeds, with 95 % bounds of every score.

    ``bounds`` are the intervals over seeds and queries, where the predictions of all seeds give them; elsewhere the
    bounds are Student's over seeds. With one seed those of accuracy are Wilson's over its queries, if it has no
    episodes.
    """
    keys = [*GROUP, "method"]
    rows = []
    for key, part in cells.groupby(keys, sort=True):
        row = dict(zip(keys, key, strict=True)) | {"seeds": len(part)}
        for score in SCORES:
            values = part[score].to_numpy(dtype=np.float64)
            if len(values) == 1 and score == "accuracy" and part["episodes"].isna().all():
                n = int(part["n_queries"].iloc[0])
                low, high = wilson(round(values[0] * n), n)
            else:
                low, high = t_interval(values)
                known = bounds.get((str(key[0]), str(key[1]), str(key[2]), str(key[3]), score))
                # Bounds from some of the seeds would lie around another mean than the one that is shown.
                if known is not None and known.n_seeds == len(values):
                    low, high = known.low, known.high
            mean, least = values.mean(), -1.0 if score in SIGNED else 0.0
            # The same mean summed in another order differs in its last bit, which must not put it outside.
            low, high = np.minimum(np.clip(low, least, 1.0), mean), np.maximum(np.clip(high, least, 1.0), mean)
            row |= {score: mean, f"{score}_low": low, f"{score}_high": high}
        row |= {fact: _common(part[fact]) for fact in FACTS}
        row |= {str(name): mean for name, mean in part[COSTS].astype("float64").mean().items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _common(values: pd.Series) -> object:
    """Return the value all seeds share, or all of them in words."""
    found = sorted({str(v): v for v in values.unique()}.items())
    return found[0][1] if len(found) == 1 else "/".join(name for name, _ in found)


def summary(cells: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``summary.csv``: a row a seed, then the row ``mean``, for each method of each group."""
    bounds = [f"{score}_{side}" for score in SCORES for side in ("low", "high")]
    seeds = cells.drop(columns="cell").assign(seed=cells["seed"].astype(str), rank=0, number=cells["seed"])
    means = means.assign(seed="mean", rank=1, number=0)
    both = pd.concat([seeds, means], ignore_index=True)
    both = both.sort_values([*GROUP, "method", "rank", "number"], kind="stable", ignore_index=True)
    return both[[*GROUP, "method", "seed", "seeds", *FACTS, *SCORES, *bounds, *COSTS]]
