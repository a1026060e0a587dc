"""Texts as categories and lists side by side give what plain columns give."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bench.reports.records.arrow_columns import compact, gather, lengths, lists, mentions, narrow, plain, ranks, renamed
from bench.reports.records.run_table import read_runs
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


def test_a_name_changes_where_the_pair_does():
    frame = pd.DataFrame({"method": ["a", "a", "b"], "params": ["1", "2", "1"]})
    found = renamed(frame, "method", "params", {("a", "2"): "a:k=2"})
    assert found["method"].tolist() == ["a", "a:k=2", "b"]


def test_a_report_holds_texts_as_categories(tmp_path):
    records = read_runs([make_run(tmp_path / "r", {"a": 0.3})]).records
    assert isinstance(records["cell"].dtype, pd.CategoricalDtype)
    assert isinstance(records["classes"].dtype, pd.ArrowDtype)
