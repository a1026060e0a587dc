"""Names that keep results of different runs apart."""

from bench.reports.records.run_table import read_runs
from tests.statistics.runs import make_run


def test_the_newest_of_two_equal_cells_is_shown(tmp_path):
    make_run(tmp_path / "old", {"m": 0.1}, run="zzz", created="2026-01-01T00:00:00+00:00")
    make_run(tmp_path / "new", {"m": 0.9}, run="aaa", created="2026-02-01T00:00:00+00:00")
    run_table = read_runs([tmp_path])
    assert set(run_table.records["run"]) == {"aaa"}
    assert any("3 cells are in several runs" in warning for warning in run_table.warnings)
    make_run(tmp_path / "one" / "old", {"m": 0.1}, seeds=(0,), run="zzz")
    make_run(tmp_path / "one" / "new", {"m": 0.9}, seeds=(0,), run="aaa")
    assert any("1 cell is in several runs" in warning for warning in read_runs([tmp_path / "one"]).warnings)


def test_two_settings_of_one_method_get_labels_that_say_what_differs(tmp_path):
    make_run(tmp_path / "a", {"knn": 0.5}, run="a", method_params='{"k": 8, "vote": "plain"}')
    make_run(tmp_path / "b", {"knn": 0.6}, run="b", method_params='{"k": 32, "vote": "plain"}')
    assert set(read_runs([tmp_path]).records["method"]) == {"knn:k=8", "knn:k=32"}
