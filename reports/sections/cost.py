"""The tables of what methods cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.cost import ANSWERS, BYTES, FLOPS, PER_QUERY, PHASES, SECONDS
from bench.reports.tables.table import Cell, Table, names_of, ordered, percent, without_constants
from bench.reports.utils.text import natural


def section(analysis: Analysis) -> Iterator[Table]:
    """Yield the tables of seconds, answers, FLOPs, stored bytes and edits of a memory."""
    yield from tables(analysis.means, analysis.edits)


def tables(means: pd.DataFrame, edits: pd.DataFrame) -> list[Table]:
    """Return the tables about cost; one is there only if something in it was measured."""
    shown = [_seconds(means)]
    shown += [_answers(means)] if means[ANSWERS].notna().any(axis=None) else []
    shown += [_flops(means)] if means[FLOPS].notna().any(axis=None) else []
    shown += [_bytes(means)] if means[BYTES].notna().any(axis=None) else []
    return [*shown, _edits(edits)] if len(edits) else shown


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
    processor = bool(means["processor_seconds"].notna().any())
    rows = []
    for row in ordered(means):
        seconds = [float(row[column]) for column in SECONDS]
        numbers = [("-" if math.isnan(v) else f"{v:.3f}", v) for v in (*seconds, sum(seconds))]
        if processor:
            busy = float(row["processor_seconds"])
            numbers.append(("-" if math.isnan(busy) else f"{busy:.3f}", busy))
        numbers.append(_mebibytes(row["state_bytes"]))
        kept = float(row["exemplars"])
        numbers.append(("-" if math.isnan(kept) else f"{kept:.0f}", kept))
        numbers += [_mebibytes(row[column]) for column in peaks]
        if energy:
            joules = float(row["gpu_joules"])
            numbers.append(("-" if math.isnan(joules) else f"{joules:.1f}", joules))
        rows.append(_row(row, numbers))
    measured = [*peaks.values(), *(["GPU J"] if energy else [])]
    head = (
        *_ABOUT,
        *(f"{p} s" for p in PHASES),
        "total s",
        *(["CPU s"] if processor else []),
        "state MiB",
        "exemplars",
        *measured,
    )
    caption = (
        "Mean over seeds. Seconds are sums over sessions, on the machine named under provenance; the encoder is not "
        "counted. CPU seconds are those of all threads. State and exemplars are those after the last session; a dash "
        "is what was not measured."
    )
    if "peak_bytes" in peaks:
        caption += " Peak is all resident memory of the process, its libraries and the data included."
    return without_constants(Table("costs", "Cost", caption, head, tuple(rows)))


def _answers(means: pd.DataFrame) -> Table:
    """Return how long an answer takes as users feel it."""
    rows = []
    for row in ordered(means):
        values = [float(row[column]) for column in ANSWERS]
        texts = ["-" if math.isnan(v) else f"{v:.3g}" for v in values[:-1]] + [engineering(values[-1])]
        rows.append(_row(row, list(zip(texts, values, strict=True))))
    head = (*_ABOUT, "1 query ms", "95th percentile", "256 queries ms", "95th percentile of 256", "answers / s")
    caption = (
        "Milliseconds of an answer, search included and training and the encoder apart: the median and the 95th "
        "percentile of one query at a time, and of 256 at a time; answers a second are those of 256 at a time. Mean "
        "over seeds, after the last session; repetitions and the load of the machine are in the records."
    )
    return without_constants(Table("answers", "Time of an answer", caption, head, tuple(rows)))


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


def _edits(edits: pd.DataFrame) -> Table:
    """Return what each edit of a memory cost."""
    numbered = edits.assign(order=edits["condition"].map(natural))
    numbered = numbered.sort_values(["scenario", "dataset", "order", "session", "method"], kind="stable")
    rows = []
    for raw in numbered.to_dict("records"):
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
