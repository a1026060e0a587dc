"""Commands are imported when they are called, and their summaries are those of their own help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from bench.cli.lazy import LazyGroup
from bench.cli.main import main


def groups(group: click.Group, path: str = "bench") -> Iterator[tuple[str, LazyGroup]]:
    if isinstance(group, LazyGroup):
        yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from groups(command, f"{path} {name}")


LAZY = [(f"{path} {name}", group, name) for path, group in groups(main) for name in group.lazy]


@pytest.mark.parametrize(("group", "name"), [(g, n) for _, g, n in LAZY], ids=[p for p, _, _ in LAZY])
def test_the_summary_of_a_command_is_that_of_its_own_help(group: LazyGroup, name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    for width in (40, 200):
        known = click.Command(name, help=group.lazy[name].summary)
        assert known.get_short_help_str(width) == command.get_short_help_str(width)


@pytest.mark.parametrize("arguments", [[], ["data"], ["data", "cache"], ["memory"]], ids=" ".join)
def test_the_help_of_a_group_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom bench.cli.main import main\n"
        f"try:\n    main({[*arguments, '--help']!r})\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'numpy', 'pandas', 'faiss', 'open_clip'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_imports_nothing_and_is_told() -> None:
    assert main.get_command(click.Context(main), "rum") is None
