"""Texts as categories and lists side by side give what plain columns give."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bench.reports.build import build
from bench.reports.columns import compact, gather, lengths, lists, mentions, narrow, plain, ranks, renamed
from bench.reports.counts import stacks
from bench.reports.intervals import wilson
from bench.reports.load import load
from bench.reports.output import csv_bytes
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run

TEXTS = ["b", None, "a", "c", "a"]
LISTS = [[4, 5], [6], [], [7, 8, 9], [1]]


@pytest.fixture
def table():
    halves = [pa.table({"text": pa.array(t, pa.string()), "list": pa.array(v)}) for t, v in _halves()]
    return pa.concat_tables(halves)


def _halves():
    return (TEXTS[:2], LISTS[:2]), (TEXTS[2:], LISTS[2:])


def test_texts_sort_and_group_as_themselves(table):
    frame = compact(table)
    assert list(frame["text"].cat.categories) == ["a", "b", "c"]
    assert plain(frame)["text"].tolist()[2:] == ["a", "c", "a"]
    assert frame["text"].isna().tolist() == [text is None for text in TEXTS]
    for column in (frame["text"], pd.Series(TEXTS)):
        assert ranks(column).tolist() == [1, -1, 0, 2, 0]
        assert mentions(column, "a").tolist() == [False, False, True, False, True]


def test_lists_are_the_same_in_arrow_and_in_objects(table):
    for column in (compact(table)["list"], pd.Series(LISTS)):
        moved = column.iloc[[3, 0, 2]]
        values, starts = lists(moved)
        assert values.tolist() == [7, 8, 9, 4, 5]
        assert starts.tolist() == [0, 3, 5, 5]
        assert lengths(column).tolist() == [2, 1, 0, 3, 1]
        values, starts = lists(column)
        found, sizes = gather(starts, np.array([4, 0, 3]))
        assert values[found].tolist() == [1, 4, 5, 7, 8, 9]
        assert sizes.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("largest", "kind"), [(127, pa.int8()), (128, pa.int16()), (40_000, pa.int32()), (2**31, pa.int64())]
)
def test_lists_take_as_few_bytes_as_hold_them(largest, kind):
    table = pa.table({"list": pa.array([[0, largest], []], pa.list_(pa.int64()))})
    assert narrow(table)["list"].type.value_type == kind
    assert narrow(table)["list"].to_pylist() == [[0, largest], []]
    few = narrow(pa.table({"list": pa.array([[1]], pa.list_(pa.int64()))}))
    both = compact(pa.concat_tables([few, narrow(table)], promote_options="permissive"))
    assert lists(both["list"])[0].tolist() == [1, 0, largest]


def test_numbers_that_were_measured_nowhere_take_no_bytes_and_are_null():
    nothing = narrow(pa.table({"n": pa.array([None, None], pa.int64()), "x": pa.array([0.5, None])}))
    assert nothing["n"].nbytes == 0
    alone = compact(nothing)
    assert alone["n"].isna().tolist() == [True, True]
    assert alone["x"].tolist()[0] == 0.5
    beside = pa.concat_tables([nothing, pa.table({"n": [7], "x": [1.5]})], promote_options="permissive")
    assert compact(beside)["n"].tolist()[2] == 7


def test_counts_of_other_lengths_than_the_classes_are_refused():
    frame = pd.DataFrame({"cell": ["c"], "session": [0], "classes": [[1, 2]], "session_kind": ["built"]})
    frame = frame.assign(class_total=[[4, 4]], class_correct=[[4]])
    with pytest.raises(BenchError, match="damaged; run again"):
        list(stacks(frame))


def test_a_name_changes_where_the_pair_does():
    frame = pd.DataFrame({"method": ["a", "a", "b"], "params": ["1", "2", "1"]})
    found = renamed(frame, "method", "params", {("a", "2"): "a:k=2"})
    assert found["method"].tolist() == ["a", "a:k=2", "b"]


def test_a_cell_whose_classes_come_and_go_leaves_the_others_their_sessions():
    rows = [
        ("grows", 0, [1, 2]),
        ("grows", 1, [1, 2, 3]),
        ("moves", 0, [1, 2]),
        ("moves", 1, [2, 3, 4]),
    ]
    frame = pd.DataFrame(rows, columns=["cell", "session", "classes"]).assign(session_kind="extended")
    frame = frame.assign(class_total=frame["classes"].map(lambda c: [4] * len(c)))
    frame = frame.assign(class_correct=frame["classes"])
    found = {counts.cells[0]: counts for counts in stacks(frame.iloc[::-1])}
    assert found["grows"].correct.tolist() == [[[1, 2, 0], [1, 2, 3]]]
    assert found["moves"].correct.tolist() == [[[2, 3, 4]]]
    assert found["moves"].classes.tolist() == [[2, 3, 4]]


def test_csv_is_what_pandas_writes_number_by_number():
    numbers = [1.5, np.nan, -0.0, 0.0, np.inf, 1e-9, -1e-9, 1.5]
    whole = pd.array([1, None, 3, 4, 5, 6, 7, 8], dtype="Int64")
    table = pd.DataFrame({"x": numbers, "n": range(8), "whole": whole, "text": ["a,b", *"bcdefg", None]})
    for part in (table, table[["x"]], table[:0]):
        assert csv_bytes(part) == part.to_csv(index=False, float_format="%.6f", lineterminator="\n").encode()


@pytest.mark.parametrize("total", [1, 3, 7, 20, 360])
def test_no_share_lies_outside_its_bounds(total):
    for correct in range(total + 1):
        low, high = wilson(correct, total)
        assert low <= correct / total <= high


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_a_toy_run_at_either_end_is_drawn(tmp_path, rate, seeds):
    run = make_run(tmp_path / "r", {"a": rate, "b": 0.5}, seeds=seeds, queries=3, sessions=2)
    build([run], tmp_path / "out")
    means = pd.read_csv(tmp_path / "out" / "summary.csv").query("seed == 'mean'")
    assert (means["accuracy_low"] <= means["accuracy"]).all()
    assert (means["accuracy"] <= means["accuracy_high"]).all()


def test_bounds_from_some_of_the_seeds_are_not_those_of_the_mean(tmp_path):
    run = make_run(tmp_path / "r", {"a": 0.3, "b": 0.7}, seeds=(0, 1, 2, 3))
    for path in sorted((run / "predictions").iterdir())[1::4]:
        path.unlink()
    build([run], tmp_path / "out")
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    for method, part in summary.groupby("method"):
        values = part.loc[part["seed"] != "mean", "accuracy"]
        mean = part[part["seed"] == "mean"].iloc[0]
        half = 3.182446 * values.std() / 2
        if method == "a":
            assert mean["accuracy_high"] == pytest.approx(min(1, values.mean() + half), abs=1e-5)
            assert mean["accuracy_low"] == pytest.approx(max(0, values.mean() - half), abs=1e-5)


def test_a_report_holds_texts_as_categories(tmp_path):
    records = load([make_run(tmp_path / "r", {"a": 0.3})]).records
    assert isinstance(records["cell"].dtype, pd.CategoricalDtype)
    assert isinstance(records["classes"].dtype, pd.ArrowDtype)
