"""Texts as categories and lists side by side give what plain columns give."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from reports.build import build
from reports.columns import compact, gather, lengths, lists, mentions, plain, ranks, renamed
from reports.counts import stacks
from reports.intervals import wilson
from reports.load import load
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
        found, owner = gather(*lists(column), np.array([4, 0, 3]))
        assert found.tolist() == [1, 4, 5, 7, 8, 9]
        assert owner.tolist() == [0, 1, 1, 2, 2, 2]


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
