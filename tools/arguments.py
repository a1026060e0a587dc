"""Values of the tools' options: what makes no sense is one line and exit status 2, by argparse."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence


def positive(text: str) -> int:
    """Return a whole number of 1 or more.

    Raises
    ------
    argparse.ArgumentTypeError
        For any other text.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def names_of(parser: argparse.ArgumentParser, text: str, known: Collection[str]) -> Sequence[str]:
    """Return names that are joined by commas, each once; the parser ends the process for none, or one not known."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        parser.error(f"{text!r} names no method")
    for name in names:
        if name not in known:
            parser.error(f"unknown method {name!r}; known: {', '.join(sorted(known))}")
    return names
