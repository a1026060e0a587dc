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
LIST = [sys.executable, "-m", "bench", "list", "methods"]
CLICK = [sys.executable, "-c", "import click"]


@pytest.mark.benchmark(group="startup")
@pytest.mark.parametrize("engine", ["bench_help", "bench_list_methods", "import_click"])
def test_startup(benchmark: Callable[..., Any], engine: str) -> None:
    command = {"bench_help": HELP, "bench_list_methods": LIST, "import_click": CLICK}[engine]
    done = benchmark(lambda: subprocess.run(command, capture_output=True, check=True))
    assert done.returncode == 0


@needs_quiet
@pytest.mark.parametrize(("command", "most"), [(HELP, 2), (LIST, 4)], ids=["help", "list-methods"])
def test_what_only_names_things_takes_little_more_than_importing_click(command: list[str], most: float) -> None:
    taken: dict[str, list[float]] = {"bench": [], "click": []}
    # In turn, so that a busy machine slows both; the median of the ratios forgives single hitches.
    for _ in range(11):
        for name, asked in (("bench", command), ("click", CLICK)):
            start = time.perf_counter()
            subprocess.run(asked, capture_output=True, check=True)
            taken[name].append(time.perf_counter() - start)
    ratio = statistics.median(a / b for a, b in zip(taken["bench"], taken["click"], strict=True))
    assert ratio <= most, f"{' '.join(command[1:])} takes {ratio:.2f} times as long as `import click`"
