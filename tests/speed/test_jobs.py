"""A sweep of more than a hundred cells on two processes beside the same on one, one thread each.

pytest tests/speed/test_jobs.py --benchmark-only            # the table
BENCH_FULL_SPEED=1 pytest tests/speed/test_jobs.py          # the ratio; needs two idle processors
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.jobs import cores

SWEEP = (
    *("run", "--scenario", "incremental", "--data", "digits", "--quiet", "--seeds", "12"),
    *("--methods", "knn,protonet,slda,fecam,ranpac,linear-probe,mml,icarl,simplecil"),
)
"""108 cells, most of them short: what is lost to planning, dealing and writing counts."""


def sweep(command: list[str], jobs: int, folder: Path) -> float:
    """Return the seconds of the whole command, start-up included."""
    start = time.perf_counter()
    subprocess.run(
        [*command, *SWEEP, "--jobs", str(jobs), "--out", str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    taken = time.perf_counter() - start
    assert len(list(folder.glob("*/records/*.parquet"))) >= 100
    return taken


@pytest.mark.benchmark(group="jobs, sweep of 108 cells on digits")
@pytest.mark.parametrize("engine", ["two_processes", "serial"])
def test_sweep(benchmark: Callable[..., Any], bench_command: list[str], tmp_path: Path, engine: str) -> None:
    jobs = {"two_processes": 2, "serial": 1}[engine]
    folders = iter(tmp_path / str(n) for n in range(100))
    benchmark.pedantic(lambda: sweep(bench_command, jobs, next(folders)), rounds=1, iterations=1)


@pytest.mark.timeout(1800)
@pytest.mark.skipif(not os.environ.get("BENCH_FULL_SPEED"), reason="needs an idle machine; set BENCH_FULL_SPEED=1")
def test_two_processes_are_1_7_times_as_fast_as_one(bench_command: list[str], tmp_path: Path) -> None:
    if cores() < 2:
        pytest.skip("one processor cannot do the work of two")
    ratios = []
    for turn in range(3):
        serial = sweep(bench_command, 1, tmp_path / f"serial-{turn}")
        ratios.append(serial / sweep(bench_command, 2, tmp_path / f"two-{turn}"))
    assert sorted(ratios)[1] >= 1.7, f"two processes are {ratios} times as fast"
