"""Kills of processes that work together."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from tests.faults.children import Broken
from tests.faults.commands import of_runs
from tests.faults.harness import require_equal

PROCESSES = {"parent": 3, "one worker": 2, "all workers": 3}
"""What is killed of ``bench run --jobs 2``, with its share of the kills."""

_SAID = "at a moment of work together"

_HERE = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
"""The environment of commands that run the code beside this file, whatever else is installed."""


def jobs_round(folder: Path, rng: random.Random, whom: str, moments: Counter[str]) -> None:
    """Kill the parent, one worker or all workers of ``bench run --jobs 2``, go on, and compare; count the kills."""
    words = [sys.executable, "-m", "bench", "run", "--methods", "protonet,mml", "--data", "digits", "--seeds", "6"]
    words += ["--quiet", "--device", "cpu", "--set", "mml.epochs=1", "--set", "mml.adapt_epochs=1"]
    serial = folder / "serial"
    if not serial.exists():
        serial.mkdir(parents=True)
        _run(words, serial)
    place = folder / "parallel"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    # Files and not pipes: a worker that outlives its parent for a moment would hold a pipe open.
    with subprocess.Popen(
        [*words, "--jobs", "2"], cwd=place, env=_HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as parent:
        workers: list[psutil.Process] = []
        wanted = rng.randrange(6)
        while parent.poll() is None and (
            len(workers) < 2 or len(list(place.glob("runs/*/records/*.parquet"))) < wanted
        ):
            time.sleep(0.05)
            with suppress(psutil.Error):
                workers = psutil.Process(parent.pid).children()
        chosen = workers if whom == "all workers" else workers[:1] if whom == "one worker" else []
        for process in chosen:
            with suppress(psutil.Error):
                process.kill()
                moments[_SAID] += 1
        if whom == "parent" and parent.poll() is None:
            parent.kill()
            moments[_SAID] += 1
        parent.wait()
        psutil.wait_procs(workers, timeout=60)
    _run(words, place)
    require_equal(of_runs(serial), of_runs(place), f"{whom}, after {moments.total()} kills")
    left = list(place.rglob("*.tmp"))
    if left:
        raise Broken(f"{whom}: left behind: {left[:3]}")


def _run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, env=_HERE, capture_output=True, text=True)
    if done.returncode:
        raise Broken(f"a command that nobody killed left with status {done.returncode}: {done.stderr[-500:]}")
