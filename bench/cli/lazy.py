"""Command groups whose commands are imported when they are called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from bench.utils.importing import large_imports

_WHOLE = 1000
"""Characters that no summary has."""


class Lazy(NamedTuple):
    """A command by the place it is defined at, with what the group's help says of it.

    Attributes
    ----------
    place : str
        ``MODULE:NAME``.
    summary : str
        The first sentence of the command's own help.
    """

    place: str
    summary: str


class LazyGroup(click.Group):
    """A group that imports the module of a command only to run it or to show its own help.

    Its help, its errors and shell completion need names and summaries alone, so they do not wait for torch.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, Lazy] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported if need be; None if there is none of this name."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        place = self.lazy[cmd_name].place
        module, _, name = place.partition(":")
        # A shell that completes asks for names alone, again and again.
        if ctx.resilient_parsing and module not in sys.modules:
            from bench.cli.described import described

            light = described(place)
            if light is not None:
                return light
        with nullcontext() if module in sys.modules else large_imports():
            command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their summaries, each whole: one that is cut says too little."""
        rows = [(name, self._summary(name, _WHOLE)) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what may stand here: commands with their summaries, and options."""
        shown = [name for name in self.list_commands(ctx) if name in self.lazy or not self.commands[name].hidden]
        return [
            *(CompletionItem(name, help=self._summary(name, 45)) for name in shown if name.startswith(incomplete)),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def _summary(self, name: str, width: int) -> str:
        known = self.lazy.get(name)
        if known is None:
            return self.commands[name].get_short_help_str(width)
        # As click makes it of the command itself.
        return click.Command(name, help=known.summary).get_short_help_str(width)
