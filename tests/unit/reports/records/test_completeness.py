"""How far runs got."""

from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from tests.statistics.runs import make_run

METHODS = {"bad": 0.4, "fair": 0.6, "good": 0.8}


def test_a_run_in_progress_is_reported_and_said(tmp_path):
    folder = make_run(tmp_path / "r", METHODS, cells=20)
    assert "run abc123 is not finished: 9 of 20 cells are there" in read_runs([folder]).warnings


def described(methods, datasets=("made",), seeds=(0, 1, 2)):
    """Return what a manifest says of a run that is to have these."""
    return {
        "methods": [{"label": name} for name in methods],
        "datasets": [{"name": name} for name in datasets],
        "seeds": list(seeds),
    }


def test_a_run_in_progress_says_what_is_not_there(tmp_path):
    manifest = described(["bad", "good", "icarl", "mml"], ("made", "more"), (0, 1, 2))
    folder = make_run(tmp_path / "r", {"bad": 0.4, "good": 0.8}, seeds=(0, 1), cells=24, manifest=manifest)
    next((folder / "records").glob("made-bad-1-*")).unlink()
    (said,) = [warning for warning in read_runs([folder]).warnings if "not finished" in warning]
    assert said == (
        "run abc123 is not finished: 3 of 24 cells are there; no cell yet of methods icarl, mml; no cell yet of data "
        "set more; no cell yet of seed 2; fewer cells than of other methods (2 of 6): bad 1"
    )
    text = build([folder], tmp_path / "out")
    assert f"warning: {said}" in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert 0 < page.index("no cell yet of methods icarl, mml") < page.index("<table")


def test_a_finished_run_says_nothing_of_what_is_there(tmp_path):
    folder = make_run(tmp_path / "r", METHODS, manifest=described(METHODS))
    assert not any("cell" in warning for warning in read_runs([folder]).warnings)


def test_shards_are_one_run_and_one_alone_is_not_whole(tmp_path):
    manifest = described(["bad", "good"], seeds=(0, 1)) | {"cells_of_all_shards": 4}
    halves = [
        make_run(tmp_path / name, {name: 0.5}, seeds=(0, 1), manifest=manifest | {"shard": f"{number}/2"})
        for number, name in enumerate(("bad", "good"), start=1)
    ]
    warnings = read_runs(halves[:1]).warnings
    assert any("2 of 4 cells" in w and "method good" in w and "shards 1/2 alone" in w for w in warnings)
    both = read_runs(halves)
    assert not any("not finished" in warning for warning in both.warnings)
    cells = both.records["cell"].unique().tolist()
    assert len(cells) == 4
    assert set(both.predictions(cells)["cell"]) == set(cells)


def test_cells_without_predictions_are_warned_of(tmp_path):
    folder = make_run(tmp_path / "r", METHODS)
    for path in (folder / "predictions").glob("made-fair-*"):
        path.unlink()
    said = (
        "3 of 9 cells have no predictions (fair): they are in no paired comparison, and intervals of their methods are "
        "over seeds alone"
    )
    assert f"warning: {said}" in build([folder], tmp_path / "out")
    assert not any("no predictions" in warning for warning in read_runs([make_run(tmp_path / "s", METHODS)]).warnings)
