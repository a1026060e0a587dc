"""The report from files to files."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bench.reports.metrics.definitions import METRICS
from bench.reports.metrics.per_cell import scores
from bench.reports.records.run_differences import differences
from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from bench.reports.statistics.aggregate import from_predictions, per_cell, per_session
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run

METHODS = {"bad": 0.4, "fair": 0.6, "good": 0.8}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "r", METHODS)


def cells_of(run):
    records = read_runs([run]).records
    return per_cell(records, scores(records), from_predictions([]))


def sessions_of(run):
    records = read_runs([run]).records
    return per_session(records, scores(records))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return out, build([run], out)


def test_numbers_are_those_of_the_predictions(run, built):
    summary = pd.read_csv(built[0] / "summary.csv")
    seeds = summary[summary["seed"] != "mean"].astype({"seed": int}).set_index(["method", "seed"]).sort_index()

    records = pd.concat(pd.read_parquet(path) for path in (run / "records").iterdir())
    p = pd.concat(pd.read_parquet(path) for path in (run / "predictions").iterdir())
    p = p.merge(records[["cell", "method", "seed"]].drop_duplicates(), on="cell")
    p["right"] = p["label"] == p["prediction"]
    key = ["method", "seed"]
    by_session = p.pivot_table("right", key, "session")
    by_class = p.pivot_table("right", [*key, "label"], "session")
    old = by_class[by_class.iloc[:, -2].notna()]
    lost = old.iloc[:, :-1].max(axis=1) - old.iloc[:, -1]
    assert seeds["accuracy"].to_numpy() == pytest.approx(by_session.iloc[:, -1].to_numpy(), abs=1e-6)
    assert seeds["average_incremental_accuracy"].to_numpy() == pytest.approx(by_session.mean(axis=1), abs=1e-6)
    assert seeds["mean_class_recall"].to_numpy() == pytest.approx(by_class.iloc[:, -1].groupby(key).mean(), abs=1e-6)
    assert seeds["max_forgetting"].to_numpy() == pytest.approx(lost.groupby(key).mean().to_numpy(), abs=1e-6)
    arrived = old.bfill(axis=1).iloc[:, 0] - old.iloc[:, -1]
    assert seeds["forgetting"].to_numpy() == pytest.approx(arrived.groupby(key).mean().to_numpy(), abs=1e-6)
    means = summary[summary["seed"] == "mean"].set_index("method")
    assert means["accuracy"].to_numpy() == pytest.approx(by_session.iloc[:, -1].groupby("method").mean(), abs=1e-6)


def test_same_bytes_whatever_the_order_of_the_records(run, built, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(run, moved)
    # One file with all rows upside down, in place of a file a cell.
    for part in ("records", "predictions"):
        files = sorted((moved / part).iterdir(), reverse=True)
        if part == "records":
            frames = [pd.read_parquet(path).iloc[::-1] for path in files]
            for path in files:
                path.unlink()
            pd.concat(frames, ignore_index=True).to_parquet(moved / part / "all.parquet")
    build([moved], tmp_path / "b")
    assert contents(built[0]) == contents(tmp_path / "b")
    assert any(name.endswith(".svg") for name in contents(tmp_path / "b"))


def test_what_is_never_measured_has_no_column(run):
    cells = cells_of(run)
    assert not [metric.name for metric in METRICS if metric.of_counts is not None and cells[metric.name].isna().all()]
    assert "forward_transfer" not in cells


def test_old_and_new_are_null_where_there_is_none(run):
    first = sessions_of(run).query("session == 0")
    assert first["old_accuracy"].isna().all()
    assert first["new_accuracy"].to_numpy() == pytest.approx(first["accuracy"].to_numpy())


def test_no_run_and_no_record_are_one_line(tmp_path):
    with pytest.raises(BenchError, match=r"no run in .*bench run"):
        build([tmp_path], tmp_path / "out")
    empty = make_run(tmp_path / "runs", {}, cells=3)
    with pytest.raises(BenchError, match="no finished cell"):
        build([empty], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_is_named_and_nothing_is_written(run, tmp_path):
    (tmp_path / "typo").mkdir()
    with pytest.raises(BenchError, match=r"no run in .*typo;"):
        build([run, tmp_path / "typo"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_file_in_place_of_the_report_is_one_line(run, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BenchError, match=r"is, or lies in, a file and no folder; choose another --out"):
        build([run], tmp_path / out)
    assert (tmp_path / "file").read_text() == "mine"


def described(methods, datasets=("made",), seeds=(0, 1, 2)):
    """Return what a manifest says of a run that is to have these."""
    return {
        "methods": [{"label": name} for name in methods],
        "datasets": [{"name": name} for name in datasets],
        "seeds": list(seeds),
    }


def test_a_copy_of_a_run_beside_it_changes_nothing(run, built, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    build([run, tmp_path / "copy"], tmp_path / "out")
    for name in ("summary.csv", "comparisons.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (built[0] / name).read_bytes()


def test_what_an_old_manifest_lacks_is_no_difference(tmp_path):
    folder = make_run(tmp_path / "r", METHODS, provenance=json.dumps({"device": "cpu"}))
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({key: manifest[key] for key in ("run", "schema")}))
    assert differences(read_runs([folder])) == ({}, [])


def test_the_terminal_shows_the_best_method_first(built):
    lines = built[1].splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["good", "fair", "bad"]
    assert "report.html" in lines[-1]


def test_every_number_that_is_drawn_is_in_the_csv(run, built):
    data = pd.read_csv(built[0] / "figures" / "incremental-made-base-0-increment-2-curve.csv")
    assert set(data["method"]) == set(METHODS)
    assert (data["seeds"] == 3).all()
    cells = sessions_of(run).query("method == 'good' and session == 2")
    drawn = data.query("method == 'good' and session == 2")["accuracy"].item()
    assert drawn == pytest.approx(np.mean(cells["accuracy"]), abs=1e-6)


def test_a_report_does_not_import_torch(run, tmp_path):
    code = (
        "import sys; from pathlib import Path; from bench.reports.report import build; "
        f"build([Path({str(run)!r})], Path({str(tmp_path)!r})); "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'open_clip', 'faiss', 'tensorflow')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
