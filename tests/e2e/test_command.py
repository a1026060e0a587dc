"""The installed command, as a new user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.results.schema import UNSTABLE
from bench.utils.version import SCHEMA
from tests.conftest import Bench
from tests.e2e.test_plug_ins import METHOD, distribution

FAST = ("--methods", "knn,protonet,zero-shot", "--data", "digits", "--seeds", "2", "--quiet")


def run_folder(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def records(folder: Path) -> pd.DataFrame:
    frame = pd.read_parquet(folder / "records")
    return frame.sort_values(["cell", "session"], ignore_index=True).drop(columns=list(UNSTABLE))


def predictions(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "predictions").sort_values(["cell", "session", "query"], ignore_index=True)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from bench.cli.main import main; "
        "r = CliRunner().invoke(main, ['--help']); assert r.exit_code == 0, r.output; "
        "print([m for m in ('torch', 'pandas', 'numpy', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_module_is_the_command(bench: Bench) -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == bench("--version").stdout


@pytest.mark.parametrize("kind", ["methods", "scenarios", "datasets"])
def test_lists_are_names_for_people_and_objects_for_programs(bench: Bench, kind: str) -> None:
    objects = json.loads(bench("list", kind, "--json").stdout)
    names = [entry["name"] for entry in objects]
    assert len(names) == len(set(names)) > 0
    # What is indented says more of the name above it.
    lines = [line for line in bench("list", kind).stdout.splitlines() if not line.startswith(" ")]
    assert {line.split()[0] for line in lines} == set(names)


def test_a_run_writes_records_that_pandas_reads_in_one_line(bench: Bench, tmp_path: Path) -> None:
    done = bench("run", *FAST)
    assert done.returncode == 0, done.stderr
    assert "skipped zero-shot on digits: needs a text for every class" in done.stderr
    folder = run_folder(tmp_path / "runs")
    frame = pd.read_parquet(folder / "records")
    assert set(frame["schema"]) == {SCHEMA}
    skipped = frame[frame["status"] == "skipped"]
    assert set(skipped["method"]) == {"zero-shot"}
    assert skipped["n_correct"].isna().all(), "what was not measured is null, never 0"
    scored = frame[frame["status"] == "ok"]
    assert len(scored) == 2 * 2 * 5
    assert (scored["class_correct"].map(sum) == scored["n_correct"]).all()
    assert (scored["class_total"].map(sum) == scored["n_queries"]).all()
    provenance = json.loads(scored["provenance"].iloc[0])
    assert provenance["arguments"][0] == "run"
    assert "torch" in provenance["versions"]
    said = predictions(folder)
    rights = said[said["label"] == said["prediction"]].groupby(["cell", "session"]).size()
    counted = scored.set_index(["cell", "session"])["n_correct"]
    assert (rights.sort_index() == counted.sort_index()).all()
    assert ((said["rank"] == 0) == (said["label"] == said["prediction"])).all()


def test_all_methods_meet_the_same_orders_and_queries(bench: Bench, tmp_path: Path) -> None:
    assert bench("run", *FAST).returncode == 0
    frame = pd.read_parquet(run_folder(tmp_path / "runs") / "records")
    frame = frame[frame["status"] == "ok"]
    for column in ("queries_fingerprint", "support_fingerprint"):
        assert (frame.groupby(["seed", "session"])[column].agg(lambda v: len(set(v))) == 1).all()
    orders = frame.assign(order=frame["classes"].map(tuple)).groupby(["seed", "session"])["order"]
    assert (orders.agg(lambda v: len(set(v))) == 1).all()
    assert frame[frame["session"] == 4].groupby("seed")["classes"].first().map(tuple).nunique() == 2


def test_records_do_not_depend_on_order_or_company(bench: Bench, tmp_path: Path) -> None:
    arguments = ("--data", "digits", "--quiet", "--set", "icarl.epochs=2")
    assert bench("run", "--methods", "icarl,protonet", "--seeds", "0,1", "--out", "a", *arguments).returncode == 0
    assert bench("run", "--methods", "protonet", "--seeds", "1,", "--out", "b", *arguments[:3]).returncode == 0
    assert bench("run", "--methods", "knn,icarl", "--seeds", "1,0", "--out", "c", *arguments).returncode == 0
    a, b, c = (records(run_folder(tmp_path / name)).drop(columns="run") for name in "abc")
    shared = a[a["cell"].isin(b["cell"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(shared, b)
    icarl = a[a["method"] == "icarl"].reset_index(drop=True)
    pd.testing.assert_frame_equal(icarl, c[c["method"] == "icarl"].reset_index(drop=True))


def test_a_second_run_repeats_nothing_and_another_setting_is_another_run(bench: Bench, tmp_path: Path) -> None:
    assert bench("run", *FAST).returncode == 0
    folder = run_folder(tmp_path / "runs")
    stamps = {path.name: path.stat().st_mtime_ns for path in (folder / "records").iterdir()}
    assert bench("run", *FAST).returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "records").iterdir()} == stamps
    assert bench("run", *FAST, "--set", "knn.k=3").returncode == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command, which does not outlive the block."""
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_interrupt_is_one_line_and_the_run_goes_on(bench: Bench, bench_command: list[str], tmp_path: Path) -> None:
    arguments = [*bench_command, "run", "--methods", "protonet,mml", "--data", "digits", "--seeds", "100", "--quiet"]
    with running(arguments, tmp_path) as process:
        while not list(tmp_path.glob("runs/*/records/*.parquet")):
            assert process.poll() is None, "the run ended without a cell"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors.strip() == "bench: stopped; the same command goes on where it stopped"


@pytest.mark.parametrize(
    "swallows",
    [
        """
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            pass
""",
        """
        class Last:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
        Last()
""",
    ],
    ids=["catches all", "finaliser"],
)
def test_an_interrupt_that_a_library_swallows_still_stops_the_run(bench: Bench, tmp_path: Path, swallows: str) -> None:
    deaf = METHOD.replace("plugged", "deaf").replace(
        "        return torch.zeros(task.n_classes)",
        f"        import os, signal{swallows}        return torch.zeros(task.n_classes)",
    )
    env = distribution(tmp_path / "site", "deaf_method", {"methods": deaf})
    done = bench("run", "--methods", "deaf,protonet", "--data", "digits", "--seeds", "3", "--quiet", env=env)
    assert done.returncode == 130
    assert done.stderr.strip() == "bench: stopped; the same command goes on where it stopped"
    assert len(set(records(run_folder(tmp_path / "runs"))["cell"])) == 1


def test_a_configuration_file_sets_what_options_do(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "scenario: incremental\nmethods: [knn, protonet]\ndata: digits\nseeds: [1]\nset: {knn: {k: 5}}\nout: here\n"
    )
    assert bench("run", "--config", "run.yaml", "--quiet").returncode == 0
    assert bench("run", "--methods", "knn,protonet", "--data", "digits", "--seeds", "1,", "--set", "knn.k=5",
                 "--out", "there", "--quiet").returncode == 0  # fmt: skip
    a, b = (records(run_folder(tmp_path / name)) for name in ("here", "there"))
    pd.testing.assert_frame_equal(a, b)


def test_import_inspect_run_report(bench: Bench, tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.Philox(0))
    centres = rng.standard_normal((4, 32))
    y = np.repeat(np.arange(4), 12)
    arrays = {}
    for split in ("train", "test"):
        arrays[f"{split}_x"] = (centres[y] + 0.3 * rng.standard_normal((len(y), 32))).astype(np.float32)
        arrays[f"{split}_y"] = y
    np.savez(tmp_path / "birds.npz", **arrays)
    (tmp_path / "names.yaml").write_text("[heron, stork, crane, ibis]")
    np.savez(tmp_path / "texts.npz", x=centres, name=np.array(["heron", "stork", "crane", "ibis"]))
    made = bench(
        "data", "import", "birds.npz", "--classes", "names.yaml", "--texts", "texts.npz", "--out", "packs/birds"
    )
    assert made.returncode == 0, made.stderr
    assert "birds" in [entry["name"] for entry in json.loads(bench("list", "datasets", "--json").stdout)]
    assert "4 of 4 classes" in bench("data", "inspect", "birds").stdout
    done = bench(
        "run", "--data", "birds", "--seeds", "2", "--methods", "zero-shot,knn,mml", "--quiet", "--set", "knn.k=5"
    )
    assert done.returncode == 0, done.stderr
    assert "skipped" not in done.stderr
    frame = pd.read_parquet(run_folder(tmp_path / "runs") / "records")
    last = frame[frame["session"] == frame["session"].max()]
    accuracy = (last["n_correct"] / last["n_queries"]).groupby(last["method"]).mean()
    assert accuracy["knn"] > 0.9
    assert accuracy["zero-shot"] > 0.9
    assert accuracy["mml"] > 0.5
    report = bench("report")
    assert report.returncode == 0, report.stderr
    assert "zero-shot" in report.stdout
    assert (tmp_path / "report" / "summary.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--scenario", "incremetal"), "unknown scenario 'incremetal'; did you mean 'incremental'?"),
        (("run", "--methods", "knm"), "unknown method 'knm'; did you mean 'knn'?"),
        (("run", "--data", "digts"), "nor a known data set; did you mean 'digits'?"),
        (("run", "--methods", "knn", "--set", "knn.kk=3"), "knn has no parameter 'kk'; did you mean 'k'?"),
        (("run", "--methods", "knn", "--set", "knn.k=0"), "knn.k=0: input should be greater than or equal to 1"),
        (("run", "--methods", "knn,knn", "--data", "digits"), "method 'knn' is named twice"),
        (("run", "--seeds", "none"), "--seeds 'none' is neither a count nor a list"),
        (("run", "--data", "digits", "--set", "incremental.shots=500"), "500 shots are wanted but class"),
        (("run", "--config", "absent.yaml"), "cannot read absent.yaml"),
        (
            ("run", "--scenario", "web-zero-shot", "--data", "digits", "--set", "web-zero-shot.train_on=glyphs"),
            "are not in one space; encode both with the same encoder",
        ),
        (("run", "--experiment", "t055"), "did you mean 't05'?"),
        (("data", "inspect", "."), "is no feature pack"),
        (("report", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    bench: Bench, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = bench(*arguments)
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("bench: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr


def test_a_memory_without_an_item_of_a_class_is_refused(bench: Bench, tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.Philox(1))
    y = np.repeat(np.arange(10), 4)
    web = y < 9
    x = rng.standard_normal((len(y), 16)).astype(np.float32)
    np.savez(tmp_path / "few.npz", train_x=x, train_y=y, test_x=x + 1, test_y=y, web_x=x[web] + 2, web_y=y[web])
    (tmp_path / "names.txt").write_text("\n".join(f"kind {n}" for n in range(10)))
    made = bench("data", "import", "few.npz", "--classes", "names.txt", "--memory", "web", "--out", "few")
    assert made.returncode == 0, made.stderr
    # Ten seeds, so that the class without items is surely among the unseen ones of some split.
    done = bench("run", "--scenario", "web-zero-shot", "--data", "few", "--methods", "knn", "--seeds", "10", "--quiet")
    assert done.returncode == 2
    assert "the memory holds no item of class 'kind 9'" in done.stderr
    rest = ("--set", "web-zero-shot.memory=support")
    assert bench("run", "--scenario", "web-zero-shot", "--data", "few", "--methods", "knn", *rest).returncode == 0


def test_an_unwritable_output_folder(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = bench("run", *FAST, "--out", "file/below")
    assert done.returncode == 2
    assert "choose a folder you may write to" in done.stderr


def test_a_full_disk_loses_no_finished_cell(bench: Bench, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")

    def small_files() -> None:
        # Files above this size cannot be written, as on a full disk; Python sees an error, not a signal.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))

    done = bench("run", "--methods", "protonet", "--data", "digits", "--seeds", "1", "--quiet", preexec_fn=small_files)
    assert done.returncode == 2, done.stderr
    assert "free some space or choose another folder" in done.stderr
    assert not list((tmp_path / "runs").rglob("*.tmp"))
    assert bench("run", "--methods", "protonet", "--data", "digits", "--seeds", "1", "--quiet").returncode == 0


def test_results_of_a_newer_schema_are_refused(bench: Bench, tmp_path: Path) -> None:
    assert bench("run", *FAST).returncode == 0
    manifest = run_folder(tmp_path / "runs") / "run.json"
    manifest.write_text(manifest.read_text().replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA + 1}'))
    for command in (("run", *FAST), ("report",)):
        done = bench(*command)
        assert done.returncode == 2
        assert "newer version" in done.stderr


def test_a_one_class_data_set_is_refused(bench: Bench, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", train_x=np.eye(4), train_y=np.zeros(4, int), test_x=np.eye(4) + 1,
             test_y=np.zeros(4, int))  # fmt: skip
    (tmp_path / "names.txt").write_text("only\n")
    assert bench("data", "import", "one.npz", "--classes", "names.txt", "--out", "one").returncode == 0
    done = bench("run", "--data", "one")
    assert done.returncode == 2
    assert "at least two are needed" in done.stderr
