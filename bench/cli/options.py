"""Options and messages that several commands share."""

from __future__ import annotations

import math
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bench.utils.errors import Notice
from bench.utils.names import expand, printable

ENCODER_HELP = (
    "NAME:PRETRAINED of open_clip, NAME:FILE for a local checkpoint, timm:NAME, hf:NAME, align:NAME, photos, or glyphs."
)


class _Path(click.Path):
    """A path as people write it: with ``~``, and refused in one line if no file can have it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return expand(Path(value))


class Number(click.FloatRange):
    """A finite number in a range: comparisons with NaN are all false, so that a range alone lets it pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; anything else is an error of usage."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number from a least one on that the machine's own numbers hold, with room to be multiplied."""

    def __init__(self, least: int) -> None:
        super().__init__(least, 2**31 - 1)

    def _describe_range(self) -> str:
        return f"x>={self.min}"


PATH = _Path(path_type=Path)
"""What every option and argument that is a path is read as."""


def split_names(text: str) -> tuple[str, ...]:
    """Return the names of splits that are joined by +."""
    return tuple(part for part in text.split("+") if part)


def role_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which splits serve in which role."""
    for role in ("memory", "validation", "query", "support"):
        command = click.option(f"--{role}", default="", help=f"Splits that serve as {role}, joined by +.")(command)
    return click.option("--hold-out", type=Number(), help="Without splits: this share of each class becomes queries.")(
        command
    )


def encoding(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of everything that encodes."""
    for option in (
        click.option("--workers", type=Whole(1), help="Threads that read images.  [default: 1; for a GPU more]"),
        click.option("--batch", type=Whole(1), default=64, help="Images at a time; halved if they do not fit."),
        click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", help="Where to encode."),
        click.option(
            "--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", help="Of the encoder."
        ),
    ):
        command = option(command)
    return command


texts_option = click.option(
    "--texts",
    type=click.Choice(["own", "synthesised"]),
    default="own",
    help="The encoder's own texts, or made of an ImageNet classifier's rows.",
)
"""The option that says where class texts come from."""


@contextmanager
def notices_alone() -> Iterator[None]:
    """Leave out the warnings of libraries, and the encoder's notes, which are said when all is encoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", Notice)
        yield


def warn(messages: Sequence[str]) -> None:
    """Print each warning once, on standard error."""
    for message in dict.fromkeys(messages):
        click.echo(printable(f"warning: {message}"), err=True)


def say(made: Any) -> None:
    """Print what was made: its splits, what was set aside and what was noticed."""
    warn(made.warnings)
    for item in made.set_aside[:5]:
        click.echo(printable(f"set aside {item.id}: {item.reason}"), err=True)
    if len(made.set_aside) > 5:
        click.echo(f"set aside {len(made.set_aside)} items in all; the pack's set_aside.json names them", err=True)
    splits = ", ".join(f"{name} {entry['rows']}" for name, entry in made.manifest["splits"].items())
    click.echo(f"{made.folder}: {len(made.manifest['classes'])} classes, d = {made.manifest['dimension']}, {splits}")


def terminal_width() -> int | None:
    """Return the columns of the terminal; None in a pipe, where every row stays one line for what reads it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cells(count: int) -> str:
    """Return a number of cells in words."""
    return f"{count} cell" if count == 1 else f"{count} cells"
