"""Writes what a shell completes of commands that take long to import: ``python -m tools.completions``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module

import click

from bench.cli.described import FILE, description
from bench.cli.lazy import LazyGroup
from bench.cli.main import main as bench

QUICK = ("bench.cli.run:run", "bench.cli.listing:list_")
"""What is imported as quickly as it is read, or has options that it makes itself."""


def places(group: click.Group = bench) -> Iterator[str]:
    """Yield where the commands are defined that are imported when they are called."""
    if isinstance(group, LazyGroup):
        yield from (lazy.place for lazy in group.lazy.values() if lazy.place not in QUICK)
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from places(command)


def content() -> str:
    """Return the file's content, a line a parameter."""
    found = {}
    for place in sorted(set(places())):
        module, _, name = place.partition(":")
        found[place] = description(getattr(import_module(module), name))
    commands = [
        f"{json.dumps(place)}: [\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in params) + "\n]"
        for place, params in found.items()
    ]
    return "{\n" + ",\n".join(commands) + "\n}\n"


def main() -> None:
    """Write the file."""
    FILE.write_text(content(), encoding="utf-8")


if __name__ == "__main__":
    main()
