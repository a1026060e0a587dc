"""Options that are numbers: NaN and infinity are none, and whoever takes a number refuses them in one line."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bench.cli.data import data
from bench.cli.lazy import LazyGroup
from bench.cli.main import main
from bench.cli.memory import memory
from bench.cli.options import Number

WORDS = [
    ("verify", "nowhere", "--tolerance"),
    ("predict", "nowhere", "x.png", "--none-below"),
    ("fit", "--method", "knn", "--data", "digits", "--out", "c", "--hold-out"),
    ("fit", "--method", "knn", "--data", "digits", "--out", "c", "--none-below"),
    ("audit", "digits", "--threshold"),
    ("data", "encode", "x", "--encoder", "glyphs", "--out", "o", "--near"),
    ("data", "encode", "x", "--encoder", "glyphs", "--out", "o", "--hold-out"),
    ("data", "import", "x.npz", "--classes", "c", "--out", "o", "--hold-out"),
    ("data", "cache", "prune", "--idle-days"),
    ("serve", "nowhere", "--rate"),
    ("choose", "nowhere", "--max-ms"),
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: f"{words[0]} {words[-1]}")
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_no_finite_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], number: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [*words, number])
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1
    assert words[-1] in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", ["-1", "9223372036854775808", "9" * 5000, "1.5"])
def test_a_seed_that_no_run_has_either(seed: str) -> None:
    done = CliRunner().invoke(main, ["fit", "--method", "knn", "--data", "digits", "--out", "c", "--seed", seed])
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize("number", ["2147483648", "9" * 30, "9" * 5000, "-1", "1e3", "\u0663x"])
@pytest.mark.parametrize(
    "words",
    [("value", "nowhere", "--k"), ("value", "nowhere", "--top"), ("choose", "nowhere", "--settings"),
     ("predict", "nowhere", "x.png", "--neighbours"), ("explain", "nowhere", "--query", "q", "--top"),
     ("audit", "digits", "--show"), ("serve", "nowhere", "--burst"), ("data", "encode", "x", "--batch")],
)  # fmt: skip
def test_no_whole_number_that_can_be_computed_with(words: tuple[str, ...], number: str) -> None:
    done = CliRunner().invoke(main, [*words, number])
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1
    assert words[-1] in done.output


def commands(group: click.Group) -> list[click.Command]:
    found = list(group.commands.values())
    if isinstance(group, LazyGroup):
        for lazy in group.lazy.values():
            module, _, name = lazy.place.partition(":")
            found.append(getattr(import_module(module), name))
    return [one for inner in found for one in (commands(inner) if isinstance(inner, click.Group) else [inner])]


def test_every_option_that_is_a_number_is_finite() -> None:
    options = [
        (command.name, option)
        for group in (main, data, memory)
        for command in commands(group)
        for option in command.params
        if isinstance(option.type, (click.types.FloatParamType, click.FloatRange))
    ]
    assert len(options) >= 8
    assert not [(name, option.name) for name, option in options if not isinstance(option.type, Number)]


def test_every_option_that_is_a_whole_number_is_bounded() -> None:
    open_ended = {
        (command.name, option.name)
        for group in (main, data, memory)
        for command in commands(group)
        for option in command.params
        # Those of `bench run` are checked by their settings, wherever these come from.
        if isinstance(option.type, click.types.IntParamType) and command.name != "run"
        if getattr(option.type, "max", None) is None
    }
    # These are compared with what records hold, and nothing is computed with them.
    assert {name for _, name in open_ended} <= {"seed", "session"}
