"""A sweep of more than a hundred cells on two processes beside the same on one, one thread each.

pytest tests/speed/test_jobs.py --benchmark-only -s         # the table, and what a worker pays to start
BENCH_FULL_SPEED=1 pytest tests/speed/test_jobs.py          # the ratio; needs two idle processors
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.import_features import Options, import_pack
from bench.results.run_folder import Store
from bench.runner.config import RunConfig
from bench.runner.parallel.job_spec import job_spec
from bench.runner.parallel.scheduler import Process
from bench.runner.plan import plan
from bench.utils.threads import cores
from tests import toy
from tests.speed.quiet import needs_quiet

SWEEP = ("run", "--scenario", "incremental", "--data", "digits", "--quiet")
QUICK = ("knn", "protonet", "slda", "simplecil")
METHODS = (*QUICK, "fecam", "ranpac", "linear-probe", "mml", "icarl")
"""108 cells with twelve seeds, most of them short: what is lost to planning, dealing and writing counts."""


def sweep(command: list[str], jobs: int, folder: Path, seeds: int = 12, methods: tuple[str, ...] = METHODS) -> float:
    """Return the seconds of the whole command, start-up included."""
    start = time.perf_counter()
    subprocess.run(
        [
            *command,
            *SWEEP,
            "--methods",
            ",".join(methods),
            "--seeds",
            str(seeds),
            "--jobs",
            str(jobs),
            "--out",
            str(folder),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    taken = time.perf_counter() - start
    assert len(list(folder.glob("*/records/*.parquet"))) == len(methods) * seeds
    return taken


@pytest.mark.benchmark(group="jobs, sweep of 108 cells on digits")
@pytest.mark.parametrize("engine", ["two_processes", "serial"])
def test_sweep(benchmark: Any, bench_command: list[str], tmp_path: Path, engine: str) -> None:
    jobs = {"two_processes": 2, "serial": 1}[engine]
    # Where nothing is timed, one seed of quick methods shows that the sweep runs.
    seeds, methods = (1, QUICK) if benchmark.disabled else (12, METHODS)
    benchmark.pedantic(lambda: sweep(bench_command, jobs, tmp_path / "runs", seeds, methods), rounds=1, iterations=1)


@pytest.mark.benchmark(group="jobs, start of a worker")
@pytest.mark.parametrize("name", ["digits", "pack"])
def test_start_of_a_worker(benchmark: Any, tmp_path: Path, name: str) -> None:
    """Imports and the plan, in processor time; the command itself pays the same before it starts its workers."""
    data: str | Path = name if name == "digits" else pack(tmp_path)
    run = plan(RunConfig(methods=["protonet"], data=[data], seeds=1, out=tmp_path))
    told = job_spec(run, ["run"], threads=1)

    def start() -> float:
        before = children()
        worker = Process(told, Store(run.folder), {}, deque())
        try:
            worker.ready()
        finally:
            worker.close()
        return children() - before

    start()
    seconds = benchmark.pedantic(start, rounds=1)
    benchmark.extra_info |= {"processor_seconds": seconds}
    print(f"\n{name}: a worker is ready after {seconds:.1f} s of processor time")
    assert seconds > 0


def pack(folder: Path) -> Path:
    """Return a small feature pack."""
    splits = {name: features for name, features in toy.dataset().splits.items() if name != "val"}
    arrays = {f"{name}_x": features.x.numpy() for name, features in splits.items()}
    arrays |= {f"{name}_y": features.labels.numpy() for name, features in splits.items()}
    np.savez(folder / "toy.npz", **arrays)
    (folder / "classes.txt").write_text("\n".join(toy.dataset().class_names))
    import_pack([folder / "toy.npz"], folder / "classes.txt", folder / "pack", Options(name="toy"))
    return folder / "pack"


def children() -> float:
    """Return the processor seconds of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.timeout(1800)
@needs_quiet
def test_two_processes_are_1_7_times_as_fast_as_one(bench_command: list[str], tmp_path: Path) -> None:
    if cores() < 2:
        pytest.skip("one processor cannot do the work of two")
    ratios, most = [], []
    for turn in range(3):
        serial = sweep(bench_command, 1, tmp_path / f"serial-{turn}")
        ratios.append(serial / sweep(bench_command, 2, tmp_path / f"two-{turn}"))
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda side: sweep(bench_command, 1, tmp_path / f"side-{turn}-{side}"), range(2)))  # noqa: B023
        most.append(2 * serial / (time.perf_counter() - start))
    told = f"two processes are {ratios} times as fast; two sweeps that know nothing of each other, {most} times"
    print(f"\n{told}")
    assert sorted(ratios)[1] >= 1.7, told
