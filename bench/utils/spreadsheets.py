"""Texts of strangers in files that people open in a spreadsheet."""

from __future__ import annotations

import re

from bench.utils.names import printable

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula in a spreadsheet, in both widths."""
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|-")
"""A number, or the dash of what was not measured."""


def inert(text: str) -> str:
    """Return a text that no spreadsheet computes: with an apostrophe before what would begin a formula.

    Numbers stay as they are. Control characters, which spreadsheets pass over on their way to a formula, are escapes.
    """
    text = printable(text)
    if not text.lstrip().startswith(_FORMULA) or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"
