"""What methods cost: seconds, FLOPs, memory and energy of each cell, and of each edit of a memory."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from bench.reports.records.arrow_columns import mentions, plain
from bench.reports.records.keys import GROUP

PHASES = ("train", "build", "retrieve", "score")
"""What a method does, in order."""

SECONDS = [f"{phase}_seconds" for phase in PHASES]
FLOPS = [f"{phase}_flops" for phase in PHASES]
KINDS = ("memory", "exemplar", "statistics", "weights", "state_unknown")
BYTES = [f"{kind}_bytes" for kind in KINDS]
PER_QUERY = ["retrieve_flops_per_query", "score_flops_per_query", "answer_flops_per_query"]

ANSWERS = ["answer_1_ms", "answer_1_p95_ms", "answer_256_ms", "answer_256_p95_ms", "answers_per_second"]
"""How long answers take, and how many there are in a second: after the last session."""

COSTS = [
    *SECONDS,
    *("processor_seconds", *ANSWERS),
    *("state_bytes", "exemplars"),
    *FLOPS,
    *("elementwise_flops", "formula_flops", "encoder_flops"),
    *PER_QUERY,
    *BYTES,
    *("peak_bytes", "peak_gpu_bytes", "gpu_joules"),
]
"""What a cell cost: seconds, FLOPs and joules summed over its sessions, the largest peak of all, and the bytes and
exemplars after the last. An answer is retrieval and scoring; what the encoder takes is apart."""

_SUMMED = [*SECONDS, "processor_seconds", *FLOPS, "elementwise_flops", "formula_flops", "gpu_joules"]
_LAST = ["state_bytes", "exemplars", "encoder_flops", *ANSWERS, *BYTES]


def per_cell(records: pd.DataFrame) -> pd.DataFrame:
    """Return :data:`COSTS` by cell; null where a session of it was not measured."""
    peaks = {kind: [f"{phase}_{kind}" for phase in PHASES] for kind in ("peak_bytes", "peak_gpu_bytes")}
    wanted = [*_SUMMED, *_LAST, *(name for names in peaks.values() for name in names)]
    # Columns of a million nulls are left alone: what is not measured anywhere is null by cell too.
    measured = [name for name in wanted if name in records and records[name].notna().any()]
    frame = records[["cell", "session", "n_queries", *measured]].sort_values(["cell", "session"], kind="stable")
    numbers = frame[["n_queries", *measured]].astype("float64")
    groups = numbers.groupby(frame["cell"])
    summed, last = ([name for name in names if name in measured] for names in (_SUMMED, _LAST))
    sums = groups[["n_queries", *summed]].sum()
    missing = numbers[summed].isna().groupby(frame["cell"]).any()
    costs = sums[summed].mask(missing)
    costs[last] = numbers[last].assign(cell=frame["cell"]).drop_duplicates("cell", keep="last").set_index("cell")
    for kind, names in peaks.items():
        present = [name for name in names if name in measured]
        costs[kind] = groups[present].max().max(axis=1) if present else np.nan
    costs = costs.reindex(columns=[name for name in COSTS if name not in PER_QUERY])
    for phase in ("retrieve", "score"):
        costs[f"{phase}_flops_per_query"] = costs[f"{phase}_flops"] / sums["n_queries"]
    costs["answer_flops_per_query"] = costs["retrieve_flops_per_query"] + costs["score_flops_per_query"]
    return costs[COSTS].astype("float64")


def edit_names(records: pd.DataFrame) -> dict[tuple[str, str, str], dict[int, str]]:
    """Return, by scenario, data set and condition, the edit of the memory in each session; ``none`` in the first."""
    edited = plain(records.loc[mentions(records["notes"], '"edit"'), [*GROUP, "session", "notes"]])
    by_group: dict[tuple[str, str, str], dict[int, str]] = {}
    for row in edited.drop_duplicates([*GROUP, "session"]).sort_values("session").to_dict("records"):
        by_session = by_group.setdefault((str(row["scenario"]), str(row["dataset"]), str(row["condition"])), {})
        by_session[int(row["session"])] = str(json.loads(row["notes"])["edit"])
    return by_group


def edits(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row an edit of a memory and method: its seconds and FLOPs, mean over seeds.

    An edit costs what building, extending or forgetting takes in its session; a search of the queries that comes with
    the next answers is not part of it.
    """
    edited = records[mentions(records["notes"], '"edit"')]
    if not len(edited):
        return pd.DataFrame()
    notes = edited["notes"].astype("str").map(json.loads)
    frame = edited.assign(
        edit=notes.map(lambda n: n.get("edit")),
        changed=notes.map(lambda n: n.get("items_added", 0) + n.get("items_removed", 0)),
    )
    frame = plain(frame).astype({"build_seconds": "float64", "build_flops": "float64", "changed": "float64"})
    frame = frame[frame["edit"] != "none"]
    keys = [*GROUP, "method", "session", "edit", "session_kind"]
    columns = ["changed", "build_seconds", "build_flops"]
    return frame.groupby(keys, sort=True)[columns].mean().reset_index()
