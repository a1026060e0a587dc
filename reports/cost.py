"""What methods cost: seconds, FLOPs, memory and energy, as numbers a cell and as tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.reports.columns import mentions, plain
from bench.reports.load import GROUP
from bench.reports.style import natural
from bench.reports.tables import PHASES, Cell, Table, names_of, ordered, percent, without_constants

SECONDS = [f"{phase}_seconds" for phase in PHASES]
FLOPS = [f"{phase}_flops" for phase in PHASES]
KINDS = ("memory", "exemplar", "statistics", "weights", "state_unknown")
BYTES = [f"{kind}_bytes" for kind in KINDS]
PER_QUERY = ["retrieve_flops_per_query", "score_flops_per_query", "answer_flops_per_query"]

COSTS = [
    *SECONDS,
    *("state_bytes", "exemplars"),
    *FLOPS,
    *("elementwise_flops", "formula_flops", "encoder_flops"),
    *PER_QUERY,
    *BYTES,
    *("peak_bytes", "peak_gpu_bytes", "gpu_joules"),
]
"""What a cell cost: seconds, FLOPs and joules summed over its sessions, the largest peak of all, and the bytes and
exemplars after the last. An answer is retrieval and scoring; what the encoder takes is apart."""

_SUMMED = [*SECONDS, *FLOPS, "elementwise_flops", "formula_flops", "gpu_joules"]
_LAST = ["state_bytes", "exemplars", "encoder_flops", *BYTES]


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
    found = sums[summed].mask(missing)
    found[last] = numbers[last].assign(cell=frame["cell"]).drop_duplicates("cell", keep="last").set_index("cell")
    for kind, names in peaks.items():
        known = [name for name in names if name in measured]
        found[kind] = groups[known].max().max(axis=1) if known else np.nan
    found = found.reindex(columns=[name for name in COSTS if name not in PER_QUERY])
    for phase in ("retrieve", "score"):
        found[f"{phase}_flops_per_query"] = found[f"{phase}_flops"] / sums["n_queries"]
    found["answer_flops_per_query"] = found["retrieve_flops_per_query"] + found["score_flops_per_query"]
    return found[COSTS].astype("float64")


def tables(means: pd.DataFrame, records: pd.DataFrame) -> list[Table]:
    """Return the tables about cost; one is there only if something in it was measured."""
    shown = [_seconds(means)]
    shown += [_flops(means)] if means[FLOPS].notna().any(axis=None) else []
    shown += [_bytes(means)] if means[BYTES].notna().any(axis=None) else []
    edits = _edits(records)
    return [*shown, edits] if edits is not None else shown


def engineering(value: float) -> str:
    """Return a number with three digits that matter in units of thousands, ``8.82 G``; a dash for none."""
    if math.isnan(value):
        return "-"
    if value < 1000:
        return f"{value:.3g}"
    step = math.floor(math.log10(float(f"{value:.3g}")) / 3)
    scaled = value / 1000**step
    return f"{scaled:.{2 - math.floor(math.log10(float(f'{scaled:.3g}')))}f} {'kMGTPEZY'[step - 1]}"


def _row(row: Mapping[str, Any], numbers: Sequence[tuple[str, float]]) -> tuple[Cell, ...]:
    method = str(row["method"])
    return (*names_of(row), Cell(method, method), *(Cell(text, value) for text, value in numbers))


_ABOUT = ("scenario", "data set", "condition", "method")


def _mebibytes(value: float) -> tuple[str, float]:
    return ("-" if math.isnan(value) else f"{value / 2**20:.2f}", float(value))


def _seconds(means: pd.DataFrame) -> Table:
    """Return seconds by phase, the state's bytes, and the peaks and joules that were measured."""
    peaks = {"peak_bytes": "peak MiB", "peak_gpu_bytes": "GPU peak MiB"}
    peaks = {column: head for column, head in peaks.items() if means[column].notna().any()}
    energy = bool(means["gpu_joules"].notna().any())
    rows = []
    for row in ordered(means):
        seconds = [float(row[column]) for column in SECONDS]
        numbers = [("-" if math.isnan(v) else f"{v:.3f}", v) for v in (*seconds, sum(seconds))]
        numbers.append(_mebibytes(row["state_bytes"]))
        kept = float(row["exemplars"])
        numbers.append(("-" if math.isnan(kept) else f"{kept:.0f}", kept))
        numbers += [_mebibytes(row[column]) for column in peaks]
        if energy:
            joules = float(row["gpu_joules"])
            numbers.append(("-" if math.isnan(joules) else f"{joules:.1f}", joules))
        rows.append(_row(row, numbers))
    measured = [*peaks.values(), *(["GPU J"] if energy else [])]
    head = (*_ABOUT, *(f"{p} s" for p in PHASES), "total s", "state MiB", "exemplars", *measured)
    caption = (
        "Mean over seeds. Seconds are sums over sessions, on the machine named under provenance; the encoder is not "
        "counted. State and exemplars are those after the last session; a dash is what was not measured."
    )
    if "peak_bytes" in peaks:
        caption += " Peak is all resident memory of the process, its libraries and the data included."
    return without_constants(Table("costs", "Cost", caption, head, tuple(rows)))


def _flops(means: pd.DataFrame) -> Table:
    """Return FLOPs by phase, those of an answer by query, the encoder's apart."""
    rows = []
    for row in ordered(means):
        whole = sum(float(row[column]) for column in FLOPS)
        values = [float(row[column]) for column in ("train_flops", "build_flops", *PER_QUERY)]
        values += [whole, float(row["encoder_flops"])]
        numbers = [(engineering(v), v) for v in values]
        shares = [float(row[c]) / whole if whole else math.nan for c in ("elementwise_flops", "formula_flops")]
        numbers += [("-" if math.isnan(v) else percent(v), v) for v in shares]
        rows.append(_row(row, numbers))
    each = ("retrieve / query", "score / query", "answer / query", "total", "encoder / image")
    head = (*_ABOUT, "train", "build", *each, "elementwise %", "by formula %")
    caption = (
        "FLOPs, mean over seeds; a multiply-add is two. Train and build are sums over sessions; an answer is retrieval "
        "and scoring, and what the encoder takes for the image comes on top. Searches made to train or to build count "
        "there. Total: all phases and sessions, the encoder left out. Searches are charged by formula, all else is "
        "counted; a dash where something ran that nobody can count."
    )
    return without_constants(Table("flops", "FLOPs", caption, head, tuple(rows)))


def _bytes(means: pd.DataFrame) -> Table:
    """Return what is stored, by what it is."""
    rows = [_row(row, [_mebibytes(row[column]) for column in BYTES]) for row in ordered(means)]
    head = (*_ABOUT, "memory MiB", "exemplars MiB", "statistics MiB", "weights MiB", "undeclared MiB")
    caption = (
        "What is stored after the last session, mean over seeds. Memory: items that answers are looked up in. "
        "Exemplars: labelled features kept to train on again, those that the harness carries on included. Statistics: "
        "means, moments, prototypes, class texts. Weights: classifiers, attention blocks, adapters, projections. "
        "Undeclared: what a method does not say any of these of."
    )
    return without_constants(Table("bytes", "Stored bytes", caption, head, tuple(rows)))


def edit_names(records: pd.DataFrame) -> dict[tuple[str, str, str], dict[int, str]]:
    """Return, by scenario, data set and condition, the edit of the memory in each session; ``none`` in the first."""
    told = plain(records.loc[mentions(records["notes"], '"edit"'), [*GROUP, "session", "notes"]])
    found: dict[tuple[str, str, str], dict[int, str]] = {}
    for row in told.drop_duplicates([*GROUP, "session"]).sort_values("session").to_dict("records"):
        by_session = found.setdefault((str(row["scenario"]), str(row["dataset"]), str(row["condition"])), {})
        by_session[int(row["session"])] = str(json.loads(row["notes"])["edit"])
    return found


def edits(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row an edit of a memory and method: its seconds and FLOPs, mean over seeds.

    An edit costs what building, extending or forgetting takes in its session; a search of the queries that comes with
    the next answers is not part of it.
    """
    told = records[mentions(records["notes"], '"edit"')]
    if not len(told):
        return pd.DataFrame()
    notes = told["notes"].astype("str").map(json.loads)
    frame = told.assign(
        edit=notes.map(lambda n: n.get("edit")),
        changed=notes.map(lambda n: n.get("items_added", 0) + n.get("items_removed", 0)),
    )
    frame = plain(frame).astype({"build_seconds": "float64", "build_flops": "float64", "changed": "float64"})
    frame = frame[frame["edit"] != "none"]
    keys = [*GROUP, "method", "session", "edit", "session_kind"]
    columns = ["changed", "build_seconds", "build_flops"]
    return frame.groupby(keys, sort=True)[columns].mean().reset_index()


def _edits(records: pd.DataFrame) -> Table | None:
    found = edits(records)
    if not len(found):
        return None
    found = found.assign(order=found["condition"].map(natural))
    found = found.sort_values(["scenario", "dataset", "order", "session", "method"], kind="stable")
    rows = []
    for raw in found.to_dict("records"):
        row = {str(key): value for key, value in raw.items()}
        seconds, flops = float(row["build_seconds"]), float(row["build_flops"])
        what = (Cell(str(row["session"]), float(row["session"])), Cell(str(row["edit"]), str(row["edit"])))
        kind = Cell(str(row["session_kind"]), str(row["session_kind"]))
        numbers = (
            Cell(f"{row['changed']:.0f}", float(row["changed"])),
            Cell("-" if math.isnan(seconds) else f"{1000 * seconds:.2f}", seconds),
            Cell(engineering(flops), flops),
        )
        rows.append((*names_of(row), *what, Cell(str(row["method"]), str(row["method"])), kind, *numbers))
    head = (*_ABOUT[:3], "step", "edit", "method", "state was", "items", "ms", "FLOPs")
    caption = (
        "What each edit of the memory cost each method, mean over seeds; items are those that came or went. A method "
        "that cannot forget exactly is built anew."
    )
    return without_constants(Table("edits", "Cost of edits", caption, head, tuple(rows)))
