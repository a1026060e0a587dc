"""The commands that say why, check and share, as a user meets them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from bench.cli.main import main
from tests.conftest import Bench

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def inside(*arguments: str | Path) -> Result:
    """Call a command in this process, which has imported torch already: a process of its own takes seconds more."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, bench_command: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    options = ["--methods", "knn,protonet", "--data", "digits", "--seeds", "1", "--set", "incremental.increment=5"]
    subprocess.run([*bench_command, "run", *options, "--quiet"], cwd=folder, check=True, capture_output=True)
    return folder / "runs"


@pytest.fixture(scope="module")
def query(run: Path) -> str:
    predictions = pd.read_parquet(next(run.iterdir()) / "predictions")
    return str(predictions.query("session == 1")["query"].iloc[7])


def test_a_query_is_explained_and_an_item_left_out(bench: Bench, run: Path, query: str, tmp_path: Path) -> None:
    done = bench("explain", run, "--query", query)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"query {query}, class ")
    assert "knn: " in done.stdout
    assert "image prototypes: " in done.stdout
    assert "warning" not in done.stdout
    nearest = re.findall(r"^  image  (\S+)", done.stdout, re.MULTILINE)[0]
    page = tmp_path / "why.html"
    again = inside("explain", run, "--query", query, "--method", "knn", "--exclude", nearest, "--html", page)
    assert again.exit_code == 0, again.stderr
    assert f"without {nearest}: the answer " in again.stdout
    assert re.search(rf"{nearest} .* left out", again.stdout)
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 1 + 32
    assert "left out" in text
    if CHROMIUM is not None:
        dom = subprocess.run(
            [
                CHROMIUM,
                *("--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
                f"--user-data-dir={tmp_path / 'profile'}",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert f"<title>{query} explained</title>" in dom.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--query", "digit/x"), "the run has no query 'digit/x'; "),
        (("--query", "QUERY", "--exclude", "digit/y"), "no support or memory item 'digit/y' up to session 1; "),
        (("--query", "QUERY", "--relabel", "digit/1=ten"), "the data set has no class 'ten'"),
        (("--query", "QUERY", "--method", "kn"), "did you mean 'knn'?"),
        (("--query", "QUERY", "--condition", "increment"), "is not KEY=VALUE"),
    ],
)
def test_bad_input_is_one_line(run: Path, query: str, arguments: tuple[str, ...], message: str) -> None:
    done = inside("explain", run, *(query if a == "QUERY" else a for a in arguments))
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_without_published_numbers_cannot_be_verified(run: Path) -> None:
    done = inside("verify", run)
    assert done.exit_code == 2
    assert "nothing to verify" in done.stderr
    assert len(done.stderr.splitlines()) == 1
