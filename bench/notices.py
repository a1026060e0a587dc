"""What the user should know although nothing failed: a warning of Python's that the command shows as one line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Notice(UserWarning):
    """Something the user should know: one line, shown once."""


def notice(text: str) -> None:
    """Tell the user something, by a warning of the kind :class:`Notice`."""
    warnings.warn(text, Notice, stacklevel=3)


@contextmanager
def as_lines() -> Iterator[None]:
    """Show notices inside the block as ``warning: ...`` on standard error, and all other warnings as before."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, Notice):
                print(f"warning: {message}", file=file or sys.stderr)
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


@contextmanager
def only_notices() -> Iterator[None]:
    """Leave out all warnings inside the block but notices."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", Notice)
        yield
