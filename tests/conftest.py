"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.fork_server import ForkServer

# Tests run side by side on few cores; threads of one process would only wait for those of another.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

os.environ["BENCH_CACHE"] = os.environ.get("BENCH_TEST_CACHE") or tempfile.mkdtemp(prefix="bench-test-cache-")
"""Tests encode into a cache of their own, shared by one process's tests, never into the user's."""

FEATURES_VARIABLE = "BENCH_TEST_FEATURES"
"""Folder of real CLIP features; where it is absent the tests that need it are skipped."""


def pytest_sessionfinish() -> None:
    """Leave no cache behind."""
    if not os.environ.get("BENCH_TEST_CACHE"):
        shutil.rmtree(os.environ["BENCH_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def real_features() -> Path:
    """Return the folder of real features, or skip."""
    default = Path(__file__).resolve().parents[2] / "shared" / "features" / "clip-vit-b32"
    folder = Path(os.environ.get(FEATURES_VARIABLE, default))
    if not (folder / "classes.json").is_file():
        pytest.skip(f"no real features in {folder}; set {FEATURES_VARIABLE}")
    return folder


# The same examples everywhere, however long one takes: what is found by chance, or on a busy machine alone, is found at
# the wrong time. `pytest --hypothesis-profile default` draws others.
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def bench_command() -> list[str]:
    """Return the installed command."""
    beside = Path(sys.executable).parent / "bench"
    found = str(beside) if beside.exists() else shutil.which("bench")
    assert found, "the command `bench` is not installed; run `pip install -e .`"
    return [found]


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Yield what runs commands without importing torch again."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def bench(bench_command: list[str], fork_server: ForkServer, tmp_path: Path) -> Bench:
    """Return a function that calls the installed command in an empty folder, in a forked process where it can be."""

    def call(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        command = [*bench_command, *map(str, arguments)]
        if hasattr(os, "fork") and options.keys() <= {"env", "cwd", "timeout"}:
            return fork_server.run(command, **{"cwd": tmp_path} | options)  # type: ignore[arg-type]
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            command, **{"capture_output": True, "text": True, "cwd": tmp_path, "timeout": 500} | options
        )

    return call


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of a card out of a run of others where there is none; asked for alone, they say why they skip."""
    of_a_card = [item for item in items if item.get_closest_marker("gpu")]
    if not torch.cuda.is_available() and "BENCH_TEST_DEVICE" not in os.environ and len(of_a_card) < len(items):
        config.hook.pytest_deselected(items=of_a_card)
        gone = set(of_a_card)
        items[:] = [item for item in items if item not in gone]
