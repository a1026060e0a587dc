"""Curves over a swept number."""

from bench.reports.figures.sweep_curves import curves as sweep_curves
from bench.reports.metrics.per_cell import scores
from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from bench.reports.statistics.aggregate import from_predictions, over_seeds, per_cell
from tests.statistics.runs import make_run


def test_a_swept_condition_gets_a_curve(tmp_path):
    conditions = tuple({"shots": n, "increment": 2} for n in (1, 4, 16))
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, conditions=conditions, sessions=1, per=4)
    records = read_runs([folder]).records
    figures = list(sweep_curves(over_seeds(per_cell(records, scores(records), from_predictions([])), {}), ["m", "n"]))
    assert [figure.name for figure in figures] == ["incremental-made-shots-sweep"]
    assert sorted(figures[0].data["shots"].unique()) == [1, 4, 16]
    assert len(figures[0].data) == 6


def test_a_value_of_a_sweep_that_is_no_number_is_said(tmp_path):
    conditions = tuple({"items": size} for size in (1, 4, "all"))
    make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, conditions=conditions)
    build([tmp_path / "r"], tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    assert "Not drawn, since it is no number: items all." in text
    assert "items of memory a class and modality" in next((tmp_path / "out" / "figures").glob("*sweep.svg")).read_text()
