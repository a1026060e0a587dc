"""Start-up: what a user waits for before anything happens."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.speed.quiet import needs_quiet

HELP = [sys.executable, "-m", "bench", "--help"]
CLICK = [sys.executable, "-c", "import click"]


@pytest.mark.benchmark(group="startup")
@pytest.mark.parametrize("engine", ["bench_help", "import_click"])
def test_startup(benchmark: Callable[..., Any], engine: str) -> None:
    command = {"bench_help": HELP, "import_click": CLICK}[engine]
    done = benchmark(lambda: subprocess.run(command, capture_output=True, check=True))
    assert done.returncode == 0


@needs_quiet
def test_help_takes_at_most_twice_as_long_as_importing_click() -> None:
    taken: dict[str, list[float]] = {"help": [], "click": []}
    # In turn, so that a busy machine slows both; the median of the ratios forgives single hitches.
    for _ in range(11):
        for name, command in (("help", HELP), ("click", CLICK)):
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            taken[name].append(time.perf_counter() - start)
    ratio = statistics.median(a / b for a, b in zip(taken["help"], taken["click"], strict=True))
    assert ratio <= 2, f"`bench --help` takes {ratio:.2f} times as long as `import click`"
