"""What CONTRIBUTING promises: the file it shows is the whole of the work, in a fresh copy of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tools import effort

ROOT = Path(__file__).resolve().parents[2]

COPIED = ("bench", "methods", "scenarios", "reports", "tests", "tools", "docs", "pyproject.toml", "mkdocs.yml")


def block(kind: str) -> str:
    """Return the one file that CONTRIBUTING shows for a kind."""
    (code,) = effort.examples((ROOT / "CONTRIBUTING.md").read_text())[kind]
    return code


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a copy of the repository's files."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in (*COPIED, *(path.name for path in ROOT.glob("*.md"))):
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "runs", "packs")
            shutil.copytree(source, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    return folder


def inside(repository: Path, *command: str) -> str:
    """Run a module in the copy and return what it printed; its failure is one of the test's."""
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=repository, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


PYTEST = ("pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--benchmark-disable")


def checked(repository: Path, path: str, code: str, name: str, suite: str) -> None:
    """Add a file to the copy and run the style check, its suite and the tests of the docs; nothing else is written."""
    (repository / path).write_text(code)
    inside(repository, "ruff", "check", path)
    inside(repository, "ruff", "format", "--check", path)
    assert inside(repository, *PYTEST, suite, "-k", name, "-rA").count("PASSED") >= 4
    # What is new is not on its page yet: a reminder and no failure.
    assert "make pages" in inside(repository, *PYTEST, "tests/docs/test_pages.py")

    inside(repository, "tools.pages")
    assert "make pages" not in inside(repository, *PYTEST, "tests/docs/test_pages.py")


def test_the_effort_is_counted() -> None:
    assert effort.table() in (ROOT / "CONTRIBUTING.md").read_text(), "run `python -m tools.effort`"
    shown = "## Add a thing\n\n```python\na\nb\n```\n\n```python\nc\n```\n\n## Add another\n\nNo code.\n"
    assert effort.examples(shown) == {"thing": ["a\nb\n", "c\n"]}


def test_a_method_is_one_file_of_forty_lines(repository: Path) -> None:
    code = block("method")
    assert len(code.splitlines()) <= 40
    checked(repository, "methods/median.py", code, "median", "tests/contract")
    assert "## median" in (repository / "docs" / "methods.md").read_text()


def test_a_scenario_is_one_file_of_sixty_lines(repository: Path) -> None:
    code = block("scenario")
    assert len(code.splitlines()) <= 60
    checked(repository, "scenarios/imbalance.py", code, "imbalance", "tests/scenarios")
    assert "## imbalance" in (repository / "docs" / "scenarios.md").read_text()


@pytest.mark.parametrize(
    ("kind", "path", "listed", "options"),
    [
        ("data set", "bench/data/wine.py", "datasets", ("--data", "wine")),
        ("encoder", "bench/encoders/means.py", "encoders", ("--data", "photos", "--encoder", "means")),
        ("search engine", "bench/search/approximate/prefix.py", "engines", ("--search", "prefix:dimensions=16")),
    ],
)
def test_a_data_set_an_encoder_and_an_engine_are_one_file(
    repository: Path, kind: str, path: str, listed: str, options: tuple[str, ...]
) -> None:
    (repository / path).write_text(block(kind))
    inside(repository, "ruff", "check", path)
    inside(repository, "ruff", "format", "--check", path)
    name = Path(path).stem
    assert any(line.startswith(f"{name} ") for line in inside(repository, "bench", "list", listed).splitlines())
    for label in ("cat", "dog"):
        for n in range(8):
            place = repository / "photos" / label / f"{n}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (100 * (label == "cat") + n, n, 9)).save(place)
    given = {"--data": "digits"} | dict(zip(options[::2], options[1::2], strict=True))
    words = [part for pair in given.items() for part in pair]
    scenario = ("--scenario", "supervised", "--set", "supervised.shots=2")
    done = inside(repository, "bench", "run", *scenario, "--methods", "knn", "--seeds", "1", "--quiet", *words)
    assert "next: bench report" in done
