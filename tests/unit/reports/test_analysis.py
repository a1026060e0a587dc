"""What is computed from some runs, once."""

from bench.reports.analysis import detailed
from bench.reports.metrics.per_cell import scores
from bench.reports.records.run_table import read_runs
from bench.reports.statistics.aggregate import from_predictions, over_seeds, per_cell
from tests.statistics.runs import make_run


def test_long_sweeps_get_figures_of_their_own_at_both_ends_only(tmp_path):
    conditions = tuple({"shots": n} for n in (1, 2, 4, 16))
    folder = make_run(tmp_path / "r", {"m": 0.5}, seeds=(0,), conditions=conditions, sessions=1)
    records = read_runs([folder]).records
    kept, notes = detailed(over_seeds(per_cell(records, scores(records), from_predictions([])), {}))
    assert kept["condition"].tolist() == ['{"shots": 1}', '{"shots": 16}']
    assert "first and last of 4" in notes[0]
