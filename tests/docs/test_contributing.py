"""What CONTRIBUTING promises: the file it shows is the whole of the work, in a fresh copy of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

import pandas as pd
import pytest
from PIL import Image

from tests.fork_server import ForkServer
from tests.statistics.runs import make_run
from tools import effort

ROOT = Path(__file__).resolve().parents[2]

CONTRIBUTING = ROOT / "CONTRIBUTING.md"

COPIED = ("bench", "methods", "scenarios", "reports", "tests", "tools", "docs", "pyproject.toml", "mkdocs.yml")


def block(kind: str) -> str:
    """Return the one file that CONTRIBUTING shows for a kind."""
    (code,) = effort.examples(CONTRIBUTING.read_text())[kind]
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


Inside = Callable[..., str]


@pytest.fixture
def inside(repository: Path, fork_server: ForkServer) -> Inside:
    """Return a function that runs a module in the copy and returns what it printed; its failure is the test's."""

    def run(*command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(repository)}
        if command[0] == "ruff":
            done = subprocess.run([sys.executable, "-m", *command], cwd=repository, capture_output=True, text=True)
        else:
            done = fork_server.run(command, module=True, cwd=repository, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


PYTEST = ("pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--benchmark-disable")


def checked(repository: Path, inside: Inside, path: str, code: str, name: str, suite: str) -> None:
    """Add a file to the copy and run the style check, its suite and the tests of the docs; nothing else is written."""
    (repository / path).write_text(code)
    inside("ruff", "check", path)
    inside("ruff", "format", "--check", path)
    assert inside(*PYTEST, suite, "-k", name, "-rA").count("PASSED") >= 4
    # What is new is not on its page yet: a reminder and no failure.
    assert "make pages" in inside(*PYTEST, "tests/docs/test_pages.py")

    inside("tools.pages")
    assert "make pages" not in inside(*PYTEST, "tests/docs/test_pages.py")


def test_the_effort_is_counted() -> None:
    assert effort.table() in CONTRIBUTING.read_text(), "run `python -m tools.effort`"
    shown = "## Add a thing\n\n```python\na\nb\n```\n\n```python\nc\n```\n\n## Add another\n\nNo code.\n"
    assert effort.examples(shown) == {"thing": ["a\nb\n", "c\n"]}
    assert effort.where(['"""A file."""\n', "a row\n", "another\n"]) == "1 file, 2 places"
    counted = {kind: effort.where(blocks) for kind, blocks in effort.examples(CONTRIBUTING.read_text()).items()}
    assert {kind for kind, place in counted.items() if place == "1 place"} == {"metric", "run option"}
    assert set(counted.values()) == {"1 file", "1 place"}


def test_a_method_is_one_file_of_forty_lines(repository: Path, inside: Inside) -> None:
    code = block("method")
    assert len(code.splitlines()) <= 40
    checked(repository, inside, "methods/median.py", code, "median", "tests/contract")
    assert "## median" in (repository / "docs" / "methods.md").read_text()


def test_a_scenario_is_one_file_of_sixty_lines(repository: Path, inside: Inside) -> None:
    code = block("scenario")
    assert len(code.splitlines()) <= 60
    checked(repository, inside, "scenarios/imbalance.py", code, "imbalance", "tests/scenarios")
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
    repository: Path, inside: Inside, kind: str, path: str, listed: str, options: tuple[str, ...]
) -> None:
    (repository / path).write_text(block(kind))
    inside("ruff", "check", path)
    inside("ruff", "format", "--check", path)
    name = Path(path).stem
    assert any(line.startswith(f"{name} ") for line in inside("bench", "list", listed).splitlines())
    for label in ("cat", "dog"):
        for n in range(8):
            place = repository / "photos" / label / f"{n}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (100 * (label == "cat") + n, n, 9)).save(place)
    given = {"--data": "digits"} | dict(zip(options[::2], options[1::2], strict=True))
    words = [part for pair in given.items() for part in pair]
    scenario = ("--scenario", "supervised", "--set", "supervised.shots=2")
    done = inside("bench", "run", *scenario, "--methods", "knn", "--seeds", "1", "--quiet", *words)
    assert "next: bench report" in done


def test_a_metric_is_one_row_and_a_figure_one_file(repository: Path, inside: Inside) -> None:
    definitions, figure = repository / "reports/metrics/definitions.py", repository / "reports/figures/certainty.py"
    before, end = definitions.read_text(), "\n)\n\nMETRICS: Registry"
    assert before.count(end) == 1
    definitions.write_text(before.replace(end, "\n" + indent(block("metric").rstrip(), "    ") + "," + end))
    figure.write_text(block("figure"))
    for command in (("ruff", "check"), ("ruff", "format", "--check")):
        inside(*command, str(definitions), str(figure))
    run = make_run(repository / "run", {"bad": 0.4, "good": 0.8})
    shown = inside("bench", "report", str(run), "--out", str(run / "report"))
    assert "overconfidence" in shown
    summary = pd.read_csv(run / "report" / "summary.csv").query("seed == 'mean'")
    assert {"overconfidence", "overconfidence_low", "overconfidence_high"} <= set(summary)
    assert summary["overconfidence"].notna().all()
    text = (run / "report" / "report.md").read_text()
    assert "Overconfidence: mean confidence minus accuracy." in text
    assert "overconfidence %" in text
    (page,) = (run / "report").glob("*.html")
    for words in ("overconfidence %", "Confidence of each answer, right or wrong."):
        assert words in page.read_text()
    assert {path.suffix for path in (run / "report").rglob("*certainty*")} == {".svg", ".csv"}


OPTION = """
import json, tempfile
from pathlib import Path
from textwrap import indent
import bench
from bench.runner.config import RunConfig
from bench.runner.parallel.job_spec import JobSpec, job_spec
from bench.runner.plan import plan

file = Path(tempfile.mkdtemp()) / "run.yaml"
file.write_text("warm_up: true")
assert RunConfig.merged(file, {}).warm_up
given = {"scenario": "supervised", "methods": "knn", "data": "digits", "seeds": 1}
plain, other = (plan(RunConfig(**given, warm_up=value)) for value in (False, True))
assert plain.name != other.name
assert JobSpec.from_json(job_spec(other, [], 1).to_json()).plan(other.folder).config.warm_up
assert len(bench.run(**given, warm_up=True).frame) == 1
"""


def test_a_run_option_is_one_field(repository: Path, inside: Inside) -> None:
    config = repository / "bench/runner/options.py"
    before, end = config.read_text(), "\n\n@dataclass(frozen=True)\nclass Declared:"
    assert before.count(end) == 1
    config.write_text(before.replace(end, indent(block("run option"), "    ") + end))
    inside("ruff", "check", str(config))
    inside("ruff", "format", "--check", str(config))
    assert "--warm-up" in inside("bench", "run", "--help")
    (repository / "script.py").write_text(OPTION)
    inside("script")
    inside("tools.pages")
    assert (
        "| `--warm-up` | `warm_up` |  | Begin trainings with small steps. |"
        in (repository / "docs" / "options.md").read_text()
    )
