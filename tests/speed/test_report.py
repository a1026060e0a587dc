"""Speed and memory of a report over many records.

    python -m tests.speed.test_report OUT        # writes the runs, so that they can be profiled
    BENCH_FULL_SPEED=1 pytest tests/speed/test_report.py

The full size is a million records in 20,000 cells of 50 pairs of method and data set, which have 53 figures. A
hundredth of the seeds is the default.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.results.consolidated import write_joined
from bench.results.run_folder import Store, encode
from bench.utils.version import SCHEMA
from tests.speed.quiet import QUIET

METHODS, DATASETS, SESSIONS, CLASSES, QUERIES = 5, 10, 50, 100, 1000
SEEDS = {"small": 4, "full": 400}
PREDICTED_SEEDS = 2
"""Seeds that keep their predictions: 50 x 2 x 1000 queries in the last session alone."""

SECONDS, BYTES = 20, 4 << 30
RESAMPLE_SECONDS = 10


def write(folder: Path, seeds: int) -> int:
    """Write one run of incremental learning as a run writes it, and return the number of its records."""
    store = Store(folder)
    manifest = {"run": "speed", "cells": METHODS * DATASETS * seeds, "seeds": list(range(seeds)), "device": "cpu"}
    store.open({**manifest, "created": "2026-01-01T00:00:00+00:00"})
    provenance = json.dumps({"git_commit": "c0ffee", "versions": {"numpy": np.__version__}})
    rng = np.random.default_rng(0)
    records = 0
    for dataset in range(DATASETS):
        for method in range(METHODS):
            rate = 0.3 + 0.05 * method + 0.01 * dataset
            for seed in range(seeds):
                rows: list[dict[str, Any]] = []
                order = np.random.default_rng([dataset, seed]).permutation(CLASSES).tolist()
                predicted = seed < PREDICTED_SEEDS
                right = rng.random(QUERIES) < rate
                # What has predictions has the last session alone, so that they are of a size that a run writes.
                for session in range(SESSIONS - 1 if predicted else 0, SESSIONS):
                    classes = order[: (session + 1) * CLASSES // SESSIONS]
                    each = QUERIES // CLASSES
                    correct = rng.binomial(each, rate, len(classes)).tolist()
                    if predicted:
                        correct = right.reshape(CLASSES, each).sum(1)[classes].tolist()
                    rows.append(
                        _row(dataset, method, seed, session, classes, each, correct)
                        | {"provenance": provenance, "session_kind": "extended" if session else "built"}
                    )
                cell = f"{dataset}-{method}-{seed}"
                store.put(cell, encode(rows, _predictions(cell, right, rng) if predicted else None))
                records += len(rows)
    write_joined(folder)
    return records


def _row(
    dataset: int, method: int, seed: int, session: int, classes: list[int], each: int, correct: list[int]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": "speed",
        "cell": f"{dataset}-{method}-{seed}",
        "status": "ok",
        "method": f"method-{method}",
        "method_name": f"method-{method}",
        "method_params": '{"k": 32}',
        "fidelity": "faithful",
        "selection": "none",
        "scenario": "incremental",
        "scenario_params": "{}",
        "dataset": f"data-{dataset}",
        "encoder": "made-up",
        "condition": '{"increment": 2}',
        "session": session,
        "seed": seed,
        "classes": classes,
        "class_total": [each] * len(classes),
        "class_correct": correct,
        "n_queries": each * len(classes),
        "n_correct": sum(correct),
        "n_near_duplicates": 0,
        "n_near_duplicates_correct": 0,
        "branches": "image",
        "state_bytes": 1000 * len(classes),
        "train_seconds": 0.0,
        "build_seconds": 0.01,
        "retrieve_seconds": 0.02,
        "score_seconds": 0.03,
        "features_fingerprint": f"f-{dataset}",
        "queries_fingerprint": f"q-{dataset}-{session}",
    }


def _predictions(cell: str, right: NDArray[np.bool_], rng: np.random.Generator) -> dict[str, Any]:
    labels = np.repeat(np.arange(CLASSES), QUERIES // CLASSES)
    return {
        "cell": [cell] * QUERIES,
        "session": np.full(QUERIES, SESSIONS - 1),
        "query": [f"q/{n}" for n in range(QUERIES)],
        "label": labels,
        "prediction": np.where(right, labels, (labels + 1) % CLASSES),
        "rank": np.where(right, 0, 3),
        "confidence": rng.uniform(0.1, 1, QUERIES),
        "near_duplicate": np.zeros(QUERIES, dtype=bool),
    }


def measure(runs: Path, out: Path) -> dict[str, float]:
    """Return what a report takes in a process of its own, start-up included.

    Seconds on the clock and of processors, which other work on the machine hardly changes, and bytes at the peak.
    """
    code = (
        "import json, re, resource, sys; from pathlib import Path; from bench.cli.main import main; "
        "main(['report', sys.argv[1], '--out', sys.argv[2]], standalone_mode=False); "
        "used = resource.getrusage(resource.RUSAGE_SELF); helped = resource.getrusage(resource.RUSAGE_CHILDREN); "
        # What getrusage tells of memory begins with that of the process which started this one.
        "status = Path('/proc/self/status'); own = re.findall(r'VmHWM:\\s+(\\d+)', status.read_text()) "
        "if status.exists() else [used.ru_maxrss]; "
        "print(json.dumps([sum(u.ru_utime + u.ru_stime for u in (used, helped)), 1024 * int(own[0])]))"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, str(runs), str(out)], capture_output=True, text=True, check=True)
    processor, peak = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": time.perf_counter() - start, "processor_seconds": processor, "peak_bytes": peak}


@pytest.mark.timeout(1800)
def test_a_report_over_many_records(tmp_path: Path) -> None:
    size = "full" if QUIET else "small"
    records = write(tmp_path / "run", SEEDS[size])
    found = measure(tmp_path / "run", tmp_path / "out")
    print(
        f"\n{records} records: {found['seconds']:.1f} s, {found['processor_seconds']:.1f} s of processor time, "
        f"{found['peak_bytes'] / 2**30:.2f} GiB"
    )
    assert found["peak_bytes"] < BYTES
    if QUIET:
        assert found["seconds"] < SECONDS


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]), SEEDS['full'])} records in {sys.argv[1]}")
