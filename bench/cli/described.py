"""Commands as a shell's completion needs them, read from a file: to import most of them takes seconds.

The file is written from the commands themselves by ``make pages``, and a test holds that it says what they are.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import click

FILE = Path(__file__).with_name("commands.json")


def description(command: click.Command) -> list[dict[str, Any]]:
    """Return what completion needs of the parameters of a command, as plain values."""
    found = []
    for param in command.params:
        completes = getattr(param, "_custom_shell_complete", None)
        found.append(
            {
                "argument": isinstance(param, click.Argument),
                "names": [*param.opts, *param.secondary_opts],
                "off": len(param.secondary_opts),
                "flag": bool(getattr(param, "is_flag", False)),
                "many": [param.nargs, param.multiple],
                "help": getattr(param, "help", None),
                "choices": list(param.type.choices) if isinstance(param.type, click.Choice) else None,
                "path": isinstance(param.type, click.Path),
                "completes": completes.__name__ if completes is not None else None,
            }
        )
    return found


def described(place: str) -> click.Command | None:
    """Return a command that completes as the one at a place does, and cannot be run; None if nothing is said of it."""
    known = _read().get(place)
    if known is None:
        return None
    return click.Command(place, params=[_parameter(**one) for one in known])


@cache
def _read() -> dict[str, list[dict[str, Any]]]:
    try:
        return dict(json.loads(FILE.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _parameter(
    *,
    argument: bool,
    names: list[str],
    off: int,
    flag: bool,
    many: list[Any],
    help: str | None,  # noqa: A002 - what click calls it
    choices: list[str] | None,
    path: bool,
    completes: str | None,
) -> click.Parameter:
    from bench.cli import completion

    nargs, multiple = many
    kind = click.Choice(choices) if choices is not None else click.Path() if path else None
    custom = getattr(completion, completes) if completes is not None else None
    if argument:
        return click.Argument(names, type=kind, nargs=nargs, shell_complete=custom)
    on, turned_off = names[: len(names) - off], names[len(names) - off :]
    if flag:
        # How click writes a flag that can be turned off.
        words = [f"{one}/{other}" for one, other in zip(on, turned_off, strict=True)] if off else on
        return click.Option(words, is_flag=True, help=help, multiple=multiple)
    return click.Option(on, type=kind, nargs=nargs, multiple=multiple, help=help, shell_complete=custom)
