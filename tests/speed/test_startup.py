"""Start-up: what a user waits for before anything happens."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.speed.quiet import needs_quiet

HELP = [sys.executable, "-m", "bench", "--help"]
LIST = [sys.executable, "-m", "bench", "list", "methods"]
CLICK = [sys.executable, "-c", "import click"]
COMPLETED = (
    "bench r",
    "bench run --me",
    "bench run --methods knn,pro",
    "bench run --data d",
    "bench report --b",
    "bench fit --method pro",
)


@pytest.mark.benchmark(group="startup")
@pytest.mark.parametrize("engine", ["bench_help", "bench_list_methods", "import_click"])
def test_startup(benchmark: Callable[..., Any], engine: str) -> None:
    command = {"bench_help": HELP, "bench_list_methods": LIST, "import_click": CLICK}[engine]
    done = benchmark(lambda: subprocess.run(command, capture_output=True, check=True))
    assert done.returncode == 0


@needs_quiet
@pytest.mark.parametrize(
    ("words", "most"),
    [("--help", 2), *((f"list {kind}", 4) for kind in ("methods", "scenarios", "datasets", "experiments"))],
)
def test_what_only_names_things_takes_little_more_than_importing_click(words: str, most: float) -> None:
    command = [sys.executable, "-m", "bench", *words.split()]
    # In turn, so that a busy machine slows both; the median of the ratios forgives single hitches.
    ratio = statistics.median(_processor(command) / _processor(CLICK) for _ in range(11))
    print(f"bench {words}: {ratio:.2f} times `import click`")
    assert ratio <= most, f"`bench {words}` takes {ratio:.2f} times as long as `import click`"


@needs_quiet
def test_a_small_run_beside_importing_torch(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "bench", "run", "--methods", "protonet", "--data", "digits", "--seeds", "1"]
    torch = [sys.executable, "-c", "import torch"]
    ratios = [_processor([*run, "--out", str(tmp_path / str(n))]) / _processor(torch) for n in range(5)]
    print(f"bench run of protonet on digits: {statistics.median(ratios):.2f} times `import torch`")
    # Without the garbage collector torch is imported in nine tenths of its time; the rest of the run fits into that.
    assert statistics.median(ratios) <= 1.4


@needs_quiet
@pytest.mark.parametrize("words", COMPLETED)
def test_completion_takes_little_more_than_importing_click(words: str, tmp_path: Path) -> None:
    asked = {"_BENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    command = [str(Path(sys.executable).with_name("bench"))]
    ratio = statistics.median(_processor(command, **asked) / _processor(CLICK) for _ in range(11))
    print(f"completion of `{words}`: {ratio:.2f} times `import click`")
    assert ratio <= 4


def _processor(command: list[str], **environment: str) -> float:
    """Return the seconds of the processor that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
