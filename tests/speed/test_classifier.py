"""The speed of a kept classifier: loading it, and one answer beside the bare product that it needs.

Run with ``--benchmark-only`` for the table; on a quiet machine (``BENCH_FULL_SPEED=1``) the limits are checked: 10^5
items are loaded in a second, and the 95th percentile of an answer is at most 1.3 times the bare product's plus 1 ms.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import Classifier
from bench.functional.classwise import normalise
from bench.utils.random import Stream
from tests.speed.quiet import needs_quiet

Benchmark = Callable[..., Any]
D, CLASSES = 512, 1000
METHODS = ("protonet", "simplecil", "slda", "gda", "linear-probe:c=1", "knn:k=16")
_CALLS = 200


def rows(n: int, purpose: str) -> np.ndarray:
    return Stream(0).child(purpose).numpy().standard_normal((n, D), dtype="float32")


@pytest.fixture(scope="module")
def items(request: pytest.FixtureRequest) -> int:
    # Where nothing is timed, the tests only see that all of it runs.
    return 4000 if request.config.getoption("benchmark_disable") else 100_000


@pytest.fixture(scope="module")
def fitted(items: int) -> Callable[[str], Classifier]:
    known: dict[str, Classifier] = {}
    x, y = rows(items, "items"), [f"class {n % CLASSES}" for n in range(items)]

    def make(method: str) -> Classifier:
        if method not in known:
            # A probe of 10^5 images takes minutes, and its answers do not depend on how many there were.
            few = slice(None if method.startswith("knn") else 4000)
            known[method] = Classifier(method, hold_out=0).fit(x[few], y[few], ids=[str(n) for n in range(len(y[few]))])
        return known[method]

    return make


def product(method: str, made: Classifier) -> Callable[[Tensor], Tensor]:
    """The product that a method cannot do without: a query with a row a class, or with every item."""
    model = made._model_
    matrix = model.task.support.x if method.startswith("knn") else normalise(torch.from_numpy(rows(CLASSES, "rows")))
    return lambda query: query @ matrix.T


@pytest.mark.parametrize("side", ["ours", "bare product"])
@pytest.mark.parametrize("method", METHODS)
def test_one_answer(method: str, side: str, fitted: Callable[[str], Classifier], benchmark: Benchmark) -> None:
    benchmark.group = f"one answer, {method}"  # type: ignore[attr-defined]
    made, query = fitted(method), torch.from_numpy(rows(1, "query"))
    run = made.predict if side == "ours" else product(method, made)
    assert len(benchmark(run, query)) == 1


@needs_quiet
@pytest.mark.parametrize("method", METHODS)
def test_an_answer_takes_about_as_long_as_its_product(method: str, fitted: Callable[[str], Classifier]) -> None:
    made, queries = fitted(method), torch.from_numpy(rows(_CALLS, "queries")).split(1)
    bare = product(method, made)
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    for query in (*queries[:5], *queries):
        for side, run in (("ours", made.predict), ("bare", bare)):
            start = time.perf_counter()
            run(query)
            took[side].append(time.perf_counter() - start)
    ours, least = (float(np.quantile(took[side][5:], 0.95)) for side in ("ours", "bare"))
    assert ours <= 1.3 * least + 1e-3, f"{1000 * ours:.2f} ms beside {1000 * least:.2f} ms"


_LOAD = """
import sys, time
import torch
start = time.perf_counter()
from bench import Classifier
made = Classifier.load(sys.argv[1])
print(time.perf_counter() - start)
made.predict(torch.ones(1, made.n_features_in_))
"""


def loading(folder: Path) -> float:
    """Seconds to import what is needed and to load, in a process that has imported torch."""
    done = subprocess.run([sys.executable, "-c", _LOAD, str(folder)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_loading(fitted: Callable[[str], Classifier], tmp_path: Path, benchmark: Benchmark) -> None:
    benchmark.group = "load a classifier, its files in the system's cache"  # type: ignore[attr-defined]
    folder = fitted("knn:k=16").save(tmp_path / "c")
    made = benchmark(Classifier.load, folder)
    assert len(made.classes_) == CLASSES


@needs_quiet
def test_a_hundred_thousand_items_are_loaded_in_a_second(tmp_path: Path) -> None:
    n = 100_000
    labels, ids = [f"class {i % CLASSES}" for i in range(n)], [f"photos/{i % CLASSES}/{i}.jpg" for i in range(n)]
    Classifier("knn:k=16", hold_out=0).fit(rows(n, "items"), labels, ids=ids).save(tmp_path / "c")
    assert min(loading(tmp_path / "c") for _ in range(3)) < 1
