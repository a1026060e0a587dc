"""Runs as the files of experiment trackers."""

import json
import resource
import struct
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.reports.analysis import Analysis
from bench.reports.report import build
from bench.reports.trackers.export import export
from bench.reports.trackers.tracks import tracks
from bench.reports.trackers.writers import WRITERS
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    params = json.dumps({"k": 8, "long": "x" * 7000})
    folder = tmp_path_factory.mktemp("runs") / "r"
    return make_run(folder, {"good": 0.8, "bad": 0.4}, seeds=(0, 1), method_params=params)


def test_a_track_holds_what_the_summary_holds(run, tmp_path):
    found = tracks(Analysis.of([run]))
    assert [track.name for track in found] == [
        f"incremental/made/base-0-increment-2/{method}/seed-{seed}" for method in ("bad", "good") for seed in (0, 1)
    ]
    build([run], tmp_path)
    rows = pd.read_csv(tmp_path / "summary.csv").query("seed != 'mean'").sort_values(["method", "seed"])
    for track, row in zip(found, rows.to_dict("records"), strict=True):
        assert track.final["accuracy"] == pytest.approx(row["accuracy"], abs=1e-6)
        assert track.final["forgetting"] == pytest.approx(row["forgetting"], abs=1e-6)
        assert [session for session, _ in track.curve] == [0, 1, 2]
        assert track.curve[-1][1]["accuracy"] == track.final["accuracy"]
        # What was not measured is left out, never 0.
        assert "forward_transfer" not in track.final
        assert "old_accuracy" not in track.curve[0][1]
        assert track.settings["method.k"] == "8"
        assert track.settings["increment"] == "2"


def test_tensorboard_reads_what_was_written(run, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    said, warnings = export([run], "tensorboard", tmp_path / "out")
    assert said == f"tensorboard --logdir {tmp_path / 'out'}"
    assert any(warning.startswith("two seeds") for warning in warnings)
    for track in tracks(Analysis.of([run])):
        read = accumulator.EventAccumulator(str(tmp_path / "out" / track.name))
        read.Reload()
        curve = read.Scalars("session/accuracy")
        assert [event.step for event in curve] == [0, 1, 2]
        assert [event.value for event in curve] == pytest.approx([scores["accuracy"] for _, scores in track.curve])
        assert read.Scalars("final/forgetting")[0].value == pytest.approx(track.final["forgetting"])


def test_mlflow_reads_what_was_written(run, tmp_path, monkeypatch):
    pytest.importorskip("sqlalchemy")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    said, _ = export([run], "mlflow", tmp_path / "out")
    client = mlflow.MlflowClient(tracking_uri=said.split()[-1])
    (place,) = client.search_experiments(view_type=mlflow.entities.ViewType.ALL)
    assert place.name == "retrieval-bench"
    assert place.artifact_location.startswith((tmp_path / "out" / "artifacts").as_uri())
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "something was left in the working directory"
    runs = {found.info.run_name: found for found in client.search_runs([place.experiment_id])}
    for track in tracks(Analysis.of([run])):
        found = runs.pop(track.name)
        assert found.data.metrics["final/accuracy"] == track.final["accuracy"]
        assert found.data.params["method.k"] == "8"
        assert len(client.get_metric_history(found.info.run_id, "session/accuracy")) == 3
    assert not runs


def logged(path):
    """Yield the records of a W&B file: LevelDB's log in blocks of 32 KiB, over which long records go on."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(whole)
            whole = b""


def values(items):
    return {(item.nested_key or [item.key])[0]: json.loads(item.value_json) for item in items}


def test_wandb_files_hold_what_was_written_offline(run, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    export([run], "wandb", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "something was left in the working directory"
    wanted = {track.name: track for track in tracks(Analysis.of([run]))}
    for path in (tmp_path / "out" / "wandb").glob("offline-run-*/*.wandb"):
        records = list(logged(path))
        (head,) = (record.run for record in records if record.run.run_id)
        track = wanted.pop(head.display_name)
        assert {item.key: json.loads(item.value_json) for item in head.config.update}["method.k"] == "8"
        steps = [values(record.history.item) for record in records if record.history.item]
        for (_, scores), step in zip(track.curve, steps, strict=True):
            assert {name: step[f"session/{name}"] for name in scores} == scores
        last = {}
        for record in records:
            last |= values(record.summary.update)
        assert {name: last[f"final/{name}"] for name in track.final} == track.final
    assert not wanted


@pytest.mark.parametrize(
    ("to", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")]
)
def test_an_absent_package_is_one_line(run, tmp_path, monkeypatch, to, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BenchError, match=rf"{to} is not installed .*pip install 'retrieval-bench\[export\]'"):
        export([run], to, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", list(WRITERS))
def test_a_folder_that_holds_something_is_left_alone(run, tmp_path, to):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BenchError, match="is not empty"):
        export([run], to, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("to", list(WRITERS))
def test_a_disk_that_is_full_is_one_line(run, tmp_path, monkeypatch, to):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(BenchError, match="free some space") as caught:
        export([run], to, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("to", "there"), [("tensorboard", False), ("tensorboard", True), ("mlflow", False)])
def test_a_disk_that_is_full_in_between_leaves_nothing(run, tmp_path, capfd, to, there):
    """A limit on files stands for the disk."""
    pytest.importorskip("tensorboard" if to == "tensorboard" else "sqlalchemy")
    out = tmp_path / "out"
    if there:
        out.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(BenchError) as caught:
            export([run], to, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * there
    assert not there or not list(out.iterdir())
    export([run], to, out)


def test_a_run_in_progress_is_exported_and_said(tmp_path):
    pytest.importorskip("tensorboard")
    folder = make_run(tmp_path / "r", {"m": 0.5}, cells=9)
    done = CliRunner().invoke(main, ["export", str(folder), "--to", "tensorboard", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "warning: run abc123 is not finished: 3 of 9 cells are there" in done.output


def test_nothing_to_export_is_one_line(tmp_path):
    with pytest.raises(BenchError, match="no run in"):
        export([tmp_path], "tensorboard", tmp_path / "out")
