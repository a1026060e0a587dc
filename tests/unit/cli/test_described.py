"""What a shell completes of a command that is not imported is what it completes of the command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from bench.cli import described as module
from bench.cli.described import described, description
from bench.cli.lazy import Lazy, LazyGroup
from bench.cli.main import main
from tests.unit.cli.test_lazy import HEAVY
from tools.completions import places


def command(place: str) -> click.Command:
    home, _, name = place.partition(":")
    found = getattr(import_module(home), name)
    assert isinstance(found, click.Command)
    return found


def completed(one: click.Command, words: list[str], incomplete: str) -> list[tuple[str, str, str | None]]:
    asked = ShellComplete(one, {}, "bench", "_BENCH_COMPLETE").get_completions(words, incomplete)
    return [(item.value, item.type, item.help) for item in asked]


@pytest.mark.parametrize("place", sorted(set(places())))
def test_light_and_full_agree(place: str) -> None:
    light, full = described(place), command(place)
    assert light is not None, "run `make pages`"
    told = "options changed: run `make pages`"
    assert description(light) == description(full), told
    assert completed(light, [], "--") == completed(full, [], "--")
    for param in full.params:
        name = param.opts[-1] if isinstance(param, click.Option) else None
        words = [name] if name is not None and not param.is_flag else []
        assert completed(light, words, "") == completed(full, words, ""), told


def test_nothing_is_told_of_commands_that_are_gone() -> None:
    assert set(module._read()) == set(places())


def test_without_the_file_the_command_itself_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "FILE", tmp_path / "none.json")
    module._read.cache_clear()
    try:
        assert described("bench.cli.report:report") is None
        group = LazyGroup("g", lazy={"merge": Lazy("bench.cli.merge:merge", "x")})
        found = group.get_command(click.Context(group, resilient_parsing=True), "merge")
        assert found is not None
        assert found.callback is not None
    finally:
        module._read.cache_clear()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bench report --b", {"--baseline"}),
        ("bench fit --method prot", {"protonet"}),
        ("bench report --for cl", {"classes"}),
        ("bench data import --class", {"--classes"}),
    ],
)
def test_a_shell_completes_what_takes_long_to_import(words: str, expected: set[str]) -> None:
    code = (
        "import sys\nfrom bench.cli.main import main\n"
        "try:\n    main(prog_name='bench')\nexcept SystemExit:\n    pass\n"
        f"assert not {HEAVY!r} & set(sys.modules)"
    )
    environment = {"_BENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected


def test_help_is_that_of_the_command_itself() -> None:
    context = click.Context(main)
    found = main.get_command(context, "merge")
    assert found is not None
    assert found.callback is not None
