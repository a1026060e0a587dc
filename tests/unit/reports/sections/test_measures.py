"""What scenarios measure beside accuracy, from runs to the report's tables."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.reports.analysis import Analysis
from bench.reports.metrics.measures import _over_seeds, measures
from bench.reports.sections.measures import section
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Table
from bench.runner.api import run
from tests import toy


def hazy():
    data = toy.dataset(per_class=8)
    test = toy.cloud(list(range(10)), 6, data.class_names, "test", 0.5)
    return replace(data, splits={**data.splits, "test": test})


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    out: Path = tmp_path_factory.mktemp("runs")
    for scenario in ("shift", "hierarchy", "supervised"):
        run(scenario, ["protonet", "zero-shot", "gda", "tda"], hazy(), seeds=2, device="cpu", out=out, progress=False)
    return Analysis.of([out])


def test_a_table_a_scenario_that_measures_and_a_file_of_all_numbers(analysis: Analysis) -> None:
    *tables, file = section(analysis)
    assert [one.name for one in tables if isinstance(one, Table)] == ["measures-hierarchy", "measures-shift"]
    assert isinstance(file, DataFile)
    shift = tables[1]
    assert shift.head == ("method", "unshifted", "drop", "effective robustness")
    assert [row[0].text for row in shift.rows] == ["gda", "protonet", "tda(stream)", "zero-shot"]


def test_shares_stay_shares_and_heights_do_not(analysis: Analysis) -> None:
    found = measures(analysis.records).set_index(["scenario", "method", "measure"])
    shares = found.drop(index=["mistake_height", "mean_height", "drop", "effective_robustness"], level="measure")
    assert (shares[["value", "low", "high"]].to_numpy() >= 0).all()
    assert (shares[["value", "low", "high"]].to_numpy() <= 1).all()
    assert found.loc[("hierarchy", "protonet", "mistake_height"), "value"] >= 1
    drop, before = (found.loc[("shift", "gda", name), "value"] for name in ("drop", "unshifted"))
    cells = analysis.cells[(analysis.cells["scenario"] == "shift") & (analysis.cells["method"] == "gda")]
    assert before - drop == pytest.approx(cells["accuracy"].mean())
    assert math.isnan(found.loc[("shift", "gda", "effective_robustness"), "low"])


def test_limits_hold_what_queries_bring_and_what_seeds_bring() -> None:
    values = np.array([[0.5, 0.4, 0.6], [0.5, 0.4, 0.6]])
    assert _over_seeds(values, "auroc") == pytest.approx((0.5, 0.4, 0.6))
    apart = np.array([[0.45, 0.35, 0.55], [0.55, 0.45, 0.65]])
    half = math.hypot(0.1, 12.706 * 0.05)
    assert _over_seeds(apart, "drop") == pytest.approx((0.5, 0.5 - half, 1.0), abs=1e-3)
    assert _over_seeds(values[:1], "mean_height") == pytest.approx((0.5, 0.4, 0.6))


def test_records_without_measures_give_nothing() -> None:
    assert measures(pd.DataFrame({"measures": [None]})).empty
