"""Runs that were damaged, edited or written by somebody else: the right table, or one line."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.reports.analysis import Analysis
from bench.results import consolidated
from bench.results.checks import prediction_fault
from bench.results.consolidated import NAME, read_joined, write_joined
from bench.results.run_folder import read_predictions, read_records
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run
from tests.unit.results.damage import fewer_right, first, refused, rewritten


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", {"good": 0.8, "bad": 0.6}, seeds=(0, 1))


# --- the file of all records ------------------------------------------------------------------------------------------


def test_a_changed_byte_of_the_joined_records_is_not_believed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consolidated, "_FROM", 2)
    write_joined(run)
    assert read_joined(run) is not None
    content = (run / NAME).read_bytes()
    whole = read_records(run)
    for place in np.random.default_rng(0).choice(len(content), 200, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (int(place) % 8)
        (run / NAME).write_bytes(damaged)
        assert read_joined(run) is None
    pd.testing.assert_frame_equal(read_records(run), whole)


def test_joined_records_with_their_own_hash_are_not_believed_unseen(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes the file can write its hash: places beyond its own dictionaries end no process."""
    import hashlib

    monkeypatch.setattr(consolidated, "_FROM", 2)
    write_joined(run)
    with pa.ipc.open_file((run / NAME).read_bytes()[:-32]) as reader:
        table = reader.read_all()
    outside = pa.DictionaryArray.from_arrays(
        pa.array(np.full(len(table), 10_000, dtype=np.int32)), pa.array(["a"]), safe=False
    )
    negative = pa.array(np.full(len(table), -5))
    for name, column in (("method", outside), ("n_queries", negative), ("cell", pa.nulls(len(table)))):
        changed = table.set_column(table.schema.get_field_index(name), name, column)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, changed.schema.with_metadata(table.schema.metadata)) as writer:
            writer.write_table(changed)
        content = sink.getvalue().to_pybytes()
        (run / NAME).write_bytes(content + hashlib.sha256(content).digest())
        assert read_joined(run) is None, name


def test_a_pipe_in_the_place_of_the_joined_records_is_passed_over(run: Path) -> None:
    os.mkfifo(run / NAME)
    assert read_joined(run) is None
    assert len(read_records(run)) == 12


# --- records and predictions ------------------------------------------------------------------------------------------


def otherwise(frame: pd.DataFrame) -> pd.DataFrame:
    """Answer one query otherwise."""
    wrong = frame.index[frame["prediction"] != frame["label"]][-1]
    frame.loc[wrong, "prediction"] = frame.loc[wrong, "label"]
    return frame


DISAGREE: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    ("records", fewer_right, "the record says"),
    ("predictions", otherwise, "the record says"),
    ("predictions", lambda f: f.iloc[:-1], "the record says"),
    ("predictions", lambda f: f[f["session"] > 0], "the record says"),
    ("predictions", lambda f: f.assign(session=f["session"] + 1), "the record says"),
    ("predictions", lambda f: f.assign(label=f["label"] + 1, prediction=f["prediction"] + 1), "the record says"),
    ("predictions", lambda f: f.assign(query="q"), "a query is answered twice"),
    (
        "predictions",
        lambda f: f.assign(prediction=f["prediction"].where(f["prediction"] == f["label"], 99)),
        "no class",
    ),
]


@pytest.mark.parametrize(("part", "change", "said"), DISAGREE)
def test_records_and_predictions_that_disagree_are_said_and_left_out(
    run: Path, part: str, change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    path = first(run, part)
    rewritten(path, change)
    analysis = Analysis.of([run])
    (line,) = (line for line in analysis.warnings if "is in no number here" in line)
    assert said in line
    left = set(pd.concat(map(pd.read_parquet, sorted((run / "records").iterdir())))["cell"]) - {path.stem}
    assert set(analysis.records["cell"]) == left
    assert len(analysis.cells) == 3


def test_a_report_without_any_cell_that_agrees_is_one_line_with_both_numbers(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"only": 0.8}, seeds=(0,))
    rewritten(first(run), fewer_right)
    line = refused(run)
    assert "right and the predictions" in line
    assert "remove both files and run again" in line


def test_predictions_of_another_cell_are_one_line(run: Path) -> None:
    rewritten(first(run, "predictions"), lambda f: f.assign(cell="other"))
    assert "rows of cell 'other'" in refused(run)


def with_value(name: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{name: pd.Series([value] * len(frame), index=frame.index)})


ODD_RECORDS: list[tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    (with_value("condition", "{"), "no JSON object"),
    (with_value("condition", "[1]"), "no JSON object"),
    (with_value("method_params", "{},{}"), "no JSON object"),
    (with_value("details", "nothing"), "no JSON object"),
    (with_value("status", "maybe"), "have the status 'maybe'"),
    (with_value("status", None), "lack status"),
    (with_value("cell", None), "lack cell"),
    (with_value("seed", -1), "a negative seed"),
    (with_value("method", "m" * 200_000), "a method of 200000 characters"),
    (with_value("dataset", "d" * 2001), "a dataset of 2001 characters"),
    (with_value("encoder", "e" * 2001), "an encoder of 2001 characters"),
    (with_value("session", 0), "sessions of a cell twice"),
    (with_value("n_correct", 10_000), "another n_correct"),
    (with_value("class_correct", [1]), "not one count for each class"),
    (with_value("class_correct", None), "lack class_correct"),
    (with_value("schema", "new"), "are damaged"),
    (with_value("schema", None), "are damaged"),
    (with_value("seed", "first"), "are damaged"),
    (with_value("classes", "all"), "are damaged"),
    (with_value("method", 5.5), ""),
]


@pytest.mark.parametrize(("change", "said"), ODD_RECORDS)
def test_records_that_cannot_be_are_one_line(
    run: Path, change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    rewritten(first(run), change)
    assert said in refused(run)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *(("confidence", value, "no share from 0 to 1") for value in (math.inf, -0.1, 1.5)),
        *((name, -1, f"a negative {name}") for name in ("prediction", "label", "rank", "session")),
        ("query", None, "lack query"),
    ],
)
def test_predictions_that_cannot_be_are_one_line(run: Path, name: str, value: object, said: str) -> None:
    rewritten(first(run, "predictions"), with_value(name, value))
    assert said in refused(run)


def test_a_confidence_that_is_no_number(run: Path) -> None:
    table = pq.read_table(first(run, "predictions"))
    assert prediction_fault(table) is None
    nan = pa.array([math.nan] * len(table), table.schema.field("confidence").type)
    odd = table.set_column(table.column_names.index("confidence"), "confidence", nan)
    assert prediction_fault(odd) == "have a confidence that is no share from 0 to 1"


class OneLine(Exception):  # noqa: N818 - it is what is hoped for
    """An error of one line."""


def read(run: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    try:
        return read_records(run), read_predictions(run)
    except BenchError as error:
        assert "\n" not in str(error)  # noqa: PT017
        raise OneLine from None


def test_records_and_predictions_whose_bytes_changed_are_one_line_or_the_same_table(run: Path) -> None:
    whole, answers = read_records(run), read_predictions(run)
    rng = np.random.default_rng(0)
    for part in ("records", "predictions"):
        path = first(run, part)
        content = path.read_bytes()
        for place in rng.choice(len(content), 150, replace=False):
            damaged = bytearray(content)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            with suppress(OneLine):
                records, predictions = read(run)
                pd.testing.assert_frame_equal(records, whole)
                pd.testing.assert_frame_equal(predictions, answers)
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["empty", "text", "folder", "pipe", "cut", "other"])
@pytest.mark.parametrize("part", ["records", "predictions"])
def test_what_is_no_table_is_one_line(run: Path, part: str, kind: str) -> None:
    path = first(run, part)
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "other":
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        path.write_bytes({"empty": b"", "text": b"PAR1 and so on PAR1", "cut": content[:-40]}[kind])
    refused(run)


def test_a_column_that_is_there_twice_is_one_line(run: Path) -> None:
    table = pq.read_table(first(run))
    pq.write_table(table.append_column("cell", table["cell"]), first(run))
    refused(run)
