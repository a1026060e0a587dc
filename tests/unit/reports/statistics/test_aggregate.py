"""Means over seeds, and their bounds."""

import pandas as pd
import pytest

from bench.reports.forms.limits import share_limits
from bench.reports.report import build
from tests.statistics.runs import make_run


@pytest.mark.parametrize("total", [1, 3, 7, 20, 360])
def test_no_share_lies_outside_its_bounds(total):
    for correct in range(total + 1):
        low, high = share_limits(correct, total)
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
