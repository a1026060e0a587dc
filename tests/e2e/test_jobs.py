"""``bench run --jobs``, ``--ray`` and ``--shard`` with real processes that really die."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from bench.results.run_folder import Store
from tests.conftest import Bench
from tests.e2e.test_command import predictions, records, run_folder, running
from tests.e2e.test_plug_ins import METHOD, distribution

FRAGILE = METHOD.replace("plugged", "fragile").replace(
    "        return torch.zeros(task.n_classes)",
    """        import os, signal
        from pathlib import Path
        mark = Path(os.environ.get("MARK", "/dev/null"))
        if os.environ.get("DIES") == "always" or (os.environ.get("DIES") == "once" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(task.n_classes)""",
)
"""A method whose process dies when the environment says so."""

WORK = ("run", "--methods", "knn,fragile,protonet", "--data", "digits", "--seeds", "3", "--quiet")


def equal(a: Path, b: Path) -> None:
    assert Store(a).finished() == Store(b).finished()
    pd.testing.assert_frame_equal(records(a), records(b))
    pd.testing.assert_frame_equal(predictions(a), predictions(b))


def test_a_killed_worker_loses_and_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    env = distribution(tmp_path / "site", "fragile_method", {"methods": FRAGILE})
    dies = env | {"DIES": "once", "MARK": str(tmp_path / "mark")}
    serial = bench(*WORK, "--out", "serial", env=env)
    assert serial.returncode == 0, serial.stderr
    done = bench(*WORK, "--out", "parallel", "--jobs", "2", env=dies)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mark").exists(), "no worker was killed"
    equal(run_folder(tmp_path / "serial"), run_folder(tmp_path / "parallel"))


def test_modules_of_the_working_directory_are_not_taken_for_those_of_the_harness(bench: Bench, tmp_path: Path) -> None:
    for name in ("scenarios", "methods", "reports", "bench"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not the one that is meant')\n")
    done = bench("run", "--methods", "protonet", "--data", "digits", "--seeds", "2", "--quiet", "--jobs", "2")
    assert done.returncode == 0, done.stderr


def test_workers_that_wait_end_with_a_refusal(bench_command: list[str], tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}"
    done = subprocess.run(
        [*bench_command, "run", "--methods", "no-such-method", "--data", "digits", "--jobs", "2"],
        cwd=tmp_path,
        env=os.environ | {"BENCH_TEST_MARK": mark},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("BENCH_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    assert not left


def test_a_cell_that_kills_its_worker_twice_is_named(bench: Bench, tmp_path: Path) -> None:
    env = distribution(tmp_path / "site", "fragile_method", {"methods": FRAGILE})
    work = ("run", "--methods", "knn,fragile", "--data", "digits", "--seeds", "1", "--quiet")
    done = bench(*work, "--jobs", "2", env=env | {"DIES": "always"})
    assert done.returncode == 2
    assert "fragile · digits · seed 0 (cell " in done.stderr
    assert "lost its worker 2 times: signal SIGKILL (out of memory?); all other cells are finished" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert len(Store(run_folder(tmp_path / "runs")).finished()) == 1
    assert bench(*work, env=env).returncode == 0
    assert len(Store(run_folder(tmp_path / "runs")).finished()) == 2


@contextmanager
def at_work(bench_command: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """Yield a long run on two workers, and these, when its first cell is finished."""
    arguments = ["run", "--methods", "protonet,mml", "--data", "digits", "--seeds", "100", "--quiet", "--jobs", "2"]
    with running([*bench_command, *arguments], folder) as process:
        workers: list[psutil.Process] = []
        try:
            # What the command starts besides, such as git, is soon gone.
            while len(workers) != 2 or not list(folder.glob("runs/*/records/*.parquet")):
                assert process.poll() is None, "the run ended too soon"
                time.sleep(0.1)
                workers = psutil.Process(process.pid).children()
            yield process, workers
        finally:
            for worker in workers:
                with suppress(psutil.Error):
                    worker.kill()


def test_an_interrupt_is_one_line_and_leaves_no_worker(bench_command: list[str], tmp_path: Path) -> None:
    with at_work(bench_command, tmp_path) as (process, workers):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 130
        assert errors.strip() == "bench: stopped; the same command goes on where it stopped"
        assert not psutil.wait_procs(workers, timeout=60)[1], "a worker was left running"


def test_workers_end_with_the_process_that_started_them(bench_command: list[str], tmp_path: Path) -> None:
    with at_work(bench_command, tmp_path) as (process, workers):
        process.kill()
        process.wait()
        assert not psutil.wait_procs(workers, timeout=300)[1], "a worker was left running"


def test_a_run_on_features_imports_neither_open_clip_nor_a_compiler(tmp_path: Path) -> None:
    # Every worker would pay for them, in seconds.
    code = (
        "import sys, bench; bench.run('incremental', ['protonet'], 'digits', seeds=1); "
        "print([name for name in ('open_clip', 'transformers', 'torchvision', 'torch._dynamo') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--jobs", "0"), "--jobs 0 leaves nobody to work; write 1 or more"),
        (("--shard", "5/4"), "--shard '5/4' is not NUMBER/COUNT"),
    ],
)
def test_bad_options_are_one_line(bench: Bench, options: tuple[str, ...], words: str) -> None:
    done = bench("run", "--methods", "knn", "--data", "digits", "--seeds", "1", "--quiet", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"bench: {words}")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_ray_address_that_does_not_answer_is_one_line_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        done = bench("run", "--methods", "knn", "--data", "digits", "--seeds", "1", "--quiet", "--ray", address)
    assert done.returncode == 2
    assert f"no Ray cluster answers at {address}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_ray_gives_the_records_of_a_serial_run_although_an_actor_is_killed(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    env = distribution(tmp_path / "site", "fragile_method", {"methods": FRAGILE})
    assert bench(*WORK, "--out", "serial", env=env).returncode == 0
    dies = env | {"DIES": "once", "MARK": str(tmp_path / "mark")}
    done = bench(*WORK, "--out", "ray", "--ray", "local", "--jobs", "2", env=dies)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mark").exists(), "no actor was killed"
    equal(run_folder(tmp_path / "serial"), run_folder(tmp_path / "ray"))


SEEING = """
import dataclasses, json, os, pathlib, sys, types
import torch
from bench.runner.parallel import ray_pool
from bench.utils.errors import BenchError
from bench.runner.config import RunConfig
from bench.runner.plan import plan


class Seer:
    def __init__(self, told):
        pass

    def ready(self):
        return f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {os.nice(0)}"


ray_pool.RayActor = Seer
torch.cuda.device_count = lambda: 2
torch.cuda.get_device_properties = lambda number: types.SimpleNamespace(name="card", total_memory=1 << 30)
run = dataclasses.replace(plan(RunConfig(methods=("knn",), data=("digits",), out=pathlib.Path("runs"))), device="cuda")
seen = []
with ray_pool.actor_pool(run, "local", 2, []) as pool:
    workers = [pool.start(number) for number in range(2)]
    for worker in workers:
        try:
            worker.ready()
        except BenchError as refused:
            seen.append(str(refused))
print(json.dumps(sorted(seen)))
"""
"""Two workers on a machine that Ray is told has two GPUs; each refuses to work and says what it sees, and how nice it
is."""


def test_ray_shows_each_worker_a_gpu_of_its_own_and_leaves_it_its_priority(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", SEEING], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == json.dumps([f"{number} {os.nice(0)}" for number in range(2)])


SICKLY = METHOD.replace("plugged", "sickly").replace(
    "        return torch.zeros(task.n_classes)",
    """        import os
        if os.environ.get("SICK"):
            raise ValueError("no luck")
        return torch.zeros(task.n_classes)""",
)
"""A method that raises when the environment says so."""


@pytest.mark.parametrize("pool", [("--jobs", "2"), ("--ray", "local", "--jobs", "2")], ids=["processes", "ray"])
def test_workers_record_failures_and_finish_the_others(bench: Bench, tmp_path: Path, pool: tuple[str, ...]) -> None:
    if "--ray" in pool:
        pytest.importorskip("ray")
    env = distribution(tmp_path / "site", "sickly_method", {"methods": SICKLY})
    work = ("run", "--methods", "sickly,protonet", "--data", "digits", "--seeds", "2", "--quiet")
    done = bench(*work, *pool, env=env | {"SICK": "1"})
    assert done.returncode == 1, done.stderr
    assert "failed sickly on digits, seeds 0, 1: ValueError: no luck" in done.stderr.splitlines()
    store = Store(run_folder(tmp_path / "runs"))
    assert (len(store.finished()), len(store.failed())) == (2, 2)
    if "--ray" in pool:
        return  # what follows is the scheduler's, which knows nothing of what its workers are
    stopped = bench(*work, *pool, "--fail-fast", "--out", "fast", env=env | {"SICK": "1"})
    assert stopped.returncode == 1
    assert "bench: stopped at the first failure; the same command goes on where it stopped" in stopped.stderr
    assert bench(*work, *pool, env=env).returncode == 0
    assert (len(store.finished()), len(store.failed())) == (4, 0)
