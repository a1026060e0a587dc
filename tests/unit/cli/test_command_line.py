"""Command lines that make no sense: one line, exit status 2, and nothing written."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench.cli.main import main
from bench.runner.api import run
from tests.statistics.runs import make_run


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="bench")


def refused(*arguments: object) -> str:
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    (line,) = done.output.splitlines()
    assert line.startswith("bench: ")
    return line


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rum",), "No such command 'rum'"),
        (("--sedes",), "No such option '--sedes'"),
        (("run", "--sedes", "3"), "No such option '--sedes'"),
        (("report", "--galleries", "-1"), "-1 is not in the range x>=0; see `bench report --help`"),
        (("audit", "digits", "--show", "-1"), "-1 is not in the range x>=0; see `bench audit --help`"),
        (("data", "cache", "prune", "--idle-days", "x"), "see `bench data cache prune --help`"),
        (("explain", "runs"), "Missing option '--query'"),
    ],
)
def test_a_misspelt_command_line_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(*arguments)


@pytest.mark.parametrize("arguments", [(), ("data",), ("run", "--help"), ("--help",)])
def test_help_stays_help(arguments: tuple[str, ...]) -> None:
    assert call(*arguments).output.startswith("Usage: bench")


def test_a_run_of_nothing_is_refused(tmp_path: Path) -> None:
    assert "nothing to run" in refused("run", "--data", "digits", "--methods", "")
    (tmp_path / "run.yaml").write_text("data: []\nmethods: knn\n")
    assert "nothing to run" in refused("run", "--config", "run.yaml")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["out", "search", "seeds", "methods"])
def test_a_setting_without_a_value_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "run.yaml").write_text(f"data: digits\n{key}:\n")
    assert f"run.yaml: {key!r} has no value" in refused("run", "--config", "run.yaml")


def test_one_cell_is_one_cell() -> None:
    done = call("run", "--data", "digits", "--methods", "knn", "--seeds", "1", "--quiet")
    assert done.output.startswith("1 cell in runs")


def test_images_of_an_explanation_need_a_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", {"m": 0.5})
    assert "give --html a file" in refused("explain", folder, "--query", "q", "--images", tmp_path)


def test_an_explanation_without_its_page_says_only_why(tmp_path: Path) -> None:
    run("supervised", ["knn:k=1"], "digits", 1, out=tmp_path / "runs", device="cpu")
    (folder,) = (tmp_path / "runs").iterdir()
    query = call("explain", folder, "--query", "none").output.split("for instance ")[1].strip().strip("'")
    assert "nowhere does not exist" in refused(
        "explain", folder, "--query", query, "--html", "a.html", "--images", "nowhere"
    )
    assert not (tmp_path / "a.html").exists()
    assert "knn(k=1): " in call("explain", folder, "--query", query, "--html", "a.html").output
    assert (tmp_path / "a.html").is_file()


def test_a_pack_without_a_place_is_refused(tmp_path: Path) -> None:
    y = np.repeat(np.arange(2), 2)
    x = np.eye(4, dtype=np.float32)
    np.savez(tmp_path / "a.npz", train_x=x, train_y=y, test_x=x[::-1], test_y=y)
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "file").touch()
    said = refused("data", "import", "a.npz", "--classes", "names.txt", "--out", "file/pack")
    assert "cannot write file/pack" in said


def test_class_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00cat")
    made = ("memory", "build", "--classes", "names.txt", "--images", tmp_path, "--encoder", "glyphs", "--out", "pack")
    assert "names.txt is not UTF-8 text" in refused(*made)
    assert not (tmp_path / "pack").exists()
