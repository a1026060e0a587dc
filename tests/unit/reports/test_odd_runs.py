"""Runs on which hardly anything can be computed: one line each, and the report of the rest."""

import numpy as np
import pandas as pd
import pytest

from bench.reports.analysis import Analysis, Choices
from bench.reports.figures.cost_tradeoffs import tradeoffs
from bench.reports.report import build
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run


def reported(folder, **choices):
    """Return the terminal's text, the comparisons and the summary's means of a report on a run."""
    out = folder.parent / "report"
    text = build([folder], out, choices=Choices(**choices))
    summary = pd.read_csv(out / "summary.csv")
    return text, pd.read_csv(out / "comparisons.csv"), summary[summary["seed"] == "mean"]


def lines(text, *words):
    return [line for line in text.splitlines() if all(word in line for word in words)]


def test_a_baseline_that_did_not_run_is_one_line(tmp_path):
    make_run(tmp_path / "runs" / "a", {"a": 0.9, "b": 0.5})
    make_run(tmp_path / "runs" / "s", {"gone": 0.5}, run="s", status="skipped", reason="needs texts")
    text, comparisons, means = reported(tmp_path / "runs", baseline="gone")
    assert len(lines(text, "the baseline gone has no predictions in incremental on made")) == 1
    assert comparisons.empty
    assert means["accuracy"].notna().all()
    assert len(means) == 2
    with pytest.raises(BenchError, match="'nobody' is no method of these runs"):
        reported(tmp_path / "runs", baseline="nobody")


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_one_query_decides_nothing_and_is_said(tmp_path, seeds):
    folder = make_run(tmp_path / "run", {"a": 1.0, "b": 0.0}, seeds=seeds, sessions=1, per=1, queries=1)
    text, comparisons, means = reported(folder)
    assert len(lines(text, "1 query")) == 1
    assert len(means) == 2
    assert set(comparisons["verdict"]) == {"undecided"}
    assert (comparisons["p"].dropna() > 0.05).all()
    # Whatever can be missed in one query is in the interval, or there is none.
    wide = means["accuracy_high"] - means["accuracy_low"]
    assert (wide.dropna() > 0.9).all()


@pytest.mark.parametrize("population", [False, True])
def test_one_class_is_reported(tmp_path, population):
    folder = make_run(tmp_path / "run", {"a": 1.0, "b": 1.0}, sessions=1, per=1, queries=30)
    text, comparisons, means = reported(folder, classes=population)
    assert means["accuracy"].tolist() == [1, 1]
    assert set(comparisons["verdict"]) == {"undecided"}
    assert len(lines(text, "1 class")) == 1
    assert len(lines(text, "nan")) == 0


def test_methods_that_are_equal_on_every_query_are_no_different_and_not_certain(tmp_path):
    folder = make_run(tmp_path / "run", {"a": 1.0, "b": 1.0, "c": 1.0}, queries=10)
    _, comparisons, means = reported(folder)
    assert set(comparisons["verdict"]) == {"undecided"}
    assert comparisons["p"].tolist() == [1, 1, 1]
    assert comparisons["seeds_needed"].isna().all()
    assert (comparisons["high"] - comparisons["low"] > 0.05).all()
    assert (means["accuracy_low"] < 0.97).all()
    many = make_run(tmp_path / "many" / "run", {"a": 1.0, "b": 1.0}, queries=100)
    assert set(reported(many)[1]["verdict"]) == {"equivalent"}


def test_a_method_that_answered_fewer_queries_is_compared_with_no_other(tmp_path):
    made = [make_run(tmp_path / m, {m: 0.6}, run=m, queries=q, sessions=1) for m, q in (("knn", 5), ("mml", 9))]
    build(made, tmp_path / "out")
    assert "different queries in 3 seeds" in (tmp_path / "out" / "report.md").read_text()
    assert not list((tmp_path / "out" / "figures").glob("*disagreement*"))


def test_a_cost_that_is_0_for_all_is_not_drawn_on_a_logarithmic_axis(tmp_path, recwarn):
    means = Analysis.of([make_run(tmp_path / "r", {"knn": 0.5, "mml": 0.7}, sessions=1)]).means.assign(state_bytes=0.0)
    (drawn,) = tradeoffs(means, ["knn", "mml"])
    assert {"seconds", "state_bytes"} & set(drawn.data) == {"seconds"}
    nothing = dict.fromkeys(("train_seconds", "build_seconds", "retrieve_seconds", "score_seconds"), 0.0)
    assert list(tradeoffs(means.assign(**nothing), ["knn", "mml"])) == []
    assert not [str(one.message) for one in recwarn if "log-scaled" in str(one.message)]


def test_a_seed_with_other_queries_is_left_out_of_its_pair_and_the_rest_is_reported(tmp_path):
    make_run(tmp_path / "a", {"a": 0.9}, run="a")
    make_run(tmp_path / "b", {"b": 0.5}, run="b", seeds=(0, 2))
    make_run(tmp_path / "c", {"b": 0.5}, run="c", seeds=(1,), queries=21)
    analysis = Analysis.of([tmp_path / name for name in "abc"])
    (comparison,) = analysis.comparisons[0]
    assert comparison.seeds == (0, 2)
    assert len([line for line in analysis.warnings if "had different queries in 1 seeds" in line]) == 1
    assert np.isfinite(analysis.means["accuracy"].to_numpy(dtype=float)).all()
