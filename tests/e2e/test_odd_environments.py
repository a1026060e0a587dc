"""Odd machines and odd words on the command line: one line, and status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.main import main

RUN = ("run", "--methods", "protonet", "--data", "digits", "--quiet", "--device", "cpu")


def told(*arguments: str | bytes, before: str = "", **options: object) -> str:
    """Return the one line that a command leaves with; ``before`` is what the shell does first."""
    words = [sys.executable, "-m", "bench", *arguments]
    command = ["bash", "-c", f'{before}; exec "$@"', "bash", *words] if before else words
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=300, **options)  # type: ignore[call-overload]
    line = done.stderr.decode()
    assert done.returncode == 2, line
    assert len(line.strip().splitlines()) == 1, line
    assert line.startswith("bench: ")
    return str(line)


@pytest.mark.parametrize("command", [("--version",), ("--help",), ("list", "methods"), ("list", "scenarios", "--json")])
def test_an_output_that_is_full(command: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        assert "No space left on device" in told(*command, stdout=full)


@pytest.mark.parametrize("command", [("list", "methods"), (*RUN, "--seeds", "1"), ("report",)])
def test_a_working_folder_that_is_gone(tmp_path: Path, command: tuple[str, ...]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = told(*command, before=f"cd {gone} && rmdir {gone}", env=os.environ | {"PYTHONSAFEPATH": ""})
    assert "the working folder is gone" in line


@pytest.mark.parametrize("kib", [300_000, 1_500_000])
def test_little_address_space(tmp_path: Path, kib: int) -> None:
    line = told(*RUN, "--seeds", "1", before=f"ulimit -v {kib}", cwd=tmp_path)
    assert "too little memory" in line


@pytest.mark.parametrize("name", [b"a\xff", b"packs/\xe9t\xe9", b"\x1b[2Jx"])
def test_names_that_are_no_text(tmp_path: Path, name: bytes) -> None:
    assert told("run", "--methods", "protonet", "--data", name, "--seeds", "1", cwd=tmp_path).strip().isprintable()


ODD_WORDS = [
    *(
        (*RUN, "--seeds", text)
        for text in ("1000000000", "99999999999999999999999", "-1", "1e3", "1,1", "", "9" * 5000)
    ),
    *((*RUN, "--seeds", text) for text in ("9223372036854775808,", "0,18446744073709551616", "0," * 200_000)),
    *((*RUN, "--seeds", "1", "--out", text) for text in ("a" * 300, "a/" * 3000, "~nobody-of-this-name/x", "\u202ex")),
    *((*RUN, "--seeds", "1", "--load", text) for text in ("a" * 300, "nowhere")),
    (*RUN, "--seeds", "1", "--config", "a" * 300),
    (*RUN, "--seeds", "1", "--config", "nowhere.yaml"),
    ("run", "--data", "d" * 300, "--seeds", "1"),
    ("run", "--methods", "k" * 1_000_000, "--data", "digits"),
    ("run", "--" + "o" * 1_000_000),
    ("o" * 1_000_000,),
    *((*RUN, "--seeds", text) for text in ("1_000", "１", "1.0", "+1", "1,,2", ",", "1-3", "0..2")),
    (*RUN, "--shard", "1/" + "9" * 5000),
    *((*RUN, "--set", f"protonet.temperature={text}") for text in ("inf", "-inf", "nan", ".inf", "1e400")),
    ("report", "r" * 300),
    ("report", "--out", "o" * 300),
    ("merge", "m" * 300),
    ("explain", "e" * 300, "--query", "q"),
    ("data", "inspect", "i" * 300),
    ("data", "import", "f" * 300, "--classes", "c", "--out", "o"),
]


@pytest.mark.parametrize("words", ODD_WORDS, ids=lambda words: f"{words[0]} {words[-1][:20]}")
def test_odd_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 2, done.output
    assert len(done.output.strip().splitlines()) == 1
    assert len(done.output) < 1200
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("run", "--data", "a\0b"), ("report", "a\0b"), ("report", "--out", "a\0b")])
def test_zero_bytes_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1


def test_a_home_folder_in_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "run.yaml").write_text(
        "methods: [protonet]\ndata: digits\nseeds: 1\nout: ~/runs\nscenario: supervised\n"
    )
    done = CliRunner().invoke(main, ["run", "--config", "run.yaml", "--quiet", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "home" / "runs").iterdir())) == 1
    assert not (tmp_path / "~").exists()


def test_an_interrupt_while_the_command_is_imported(tmp_path: Path) -> None:
    """A module of a library is interrupted in the middle, as by Ctrl-C at that moment."""
    (tmp_path / "click.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    words = [sys.executable, "-m", "bench", "list", "methods"]
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": places}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr.splitlines() == ["bench: stopped before it began"]


def test_a_reader_that_wants_one_line_only() -> None:
    words = f"set -o pipefail; {sys.executable} -m bench list methods | true"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "shell", ["unset HOME", "export LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0", "export TZ=Odd/x"]
)
def test_environments_that_lack_something(shell: str) -> None:
    words = f"{shell}; {sys.executable} -m bench list datasets <&-"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "digits" in done.stdout
    assert done.stderr == ""
