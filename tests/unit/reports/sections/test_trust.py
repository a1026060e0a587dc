"""What a report says of abstaining and of sets of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import FIGURES
from bench.reports.sections.trust import section
from bench.runner.config import RunConfig
from bench.runner.loop import execute
from bench.runner.plan import plan


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    out = tmp_path_factory.mktemp("runs")
    settings = {"scenario": "supervised", "set": {"supervised.shots": 5}, "data": ["digits"], "seeds": 2, "out": out}
    run = plan(RunConfig(methods=["protonet", "slda"], **settings))
    execute(run)
    return Analysis.of([run.folder])


def test_the_tables_are_the_numbers_of_the_predictions(analysis: Analysis) -> None:
    abstention, sets = section(analysis)
    predictions = analysis.run_table.predictions(analysis.records["cell"].unique().tolist())
    cells = analysis.records.set_index("cell")["method"]
    rows = {row[0].text: row for row in sets.rows}
    assert sets.head == ("method", "covered %", "classes in a set", "empty %", "poor classes %")
    for method, part in predictions.groupby(predictions["cell"].map(cells)):
        inside = part["rank"] < part["set_size"]
        by_class = inside.groupby([part["cell"], part["label"]]).mean()
        expected = [inside.mean(), part["set_size"].mean(), (part["set_size"] == 0).mean(), (by_class < 0.8).mean()]
        assert [cell.value for cell in rows[method][1:]] == pytest.approx(expected)
    for row in abstention.rows:
        part = predictions[predictions["cell"].map(cells) == row[0].text]
        correct = part["label"] == part["prediction"]
        assert row[1].value == pytest.approx(correct.mean())
        sure = part.groupby("cell")["confidence"].rank(ascending=False, method="first")
        half = np.ceil(part.groupby("cell")["query"].transform("size") / 2)
        assert row[3].value == pytest.approx(correct[sure <= half].mean(), abs=2e-3)


def test_figures_have_every_number_that_they_draw(analysis: Analysis) -> None:
    reliability, risk = FIGURES["reliability"](analysis)
    assert reliability.name.endswith("reliability")
    queries = reliability.data.groupby("method")["queries"].sum()
    assert set(queries) == {2 * int(analysis.records["n_queries"].iloc[0])}
    whole = risk.data[risk.data["answered"] == 1].set_index("method")["wrong"]
    accuracy = analysis.means.set_index("method")["accuracy"]
    pd.testing.assert_series_equal(whole, 1 - accuracy[whole.index], check_names=False)


def test_without_a_temperature_there_is_nothing_to_say(tmp_path: Path) -> None:
    run = plan(RunConfig(scenario="supervised", methods=["protonet"], data=["digits"], out=tmp_path, calibrate=False))
    execute(run)
    analysis = Analysis.of([run.folder])
    assert not list(section(analysis))
    assert not list(FIGURES["reliability"](analysis))
