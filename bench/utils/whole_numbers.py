"""Whole numbers that people write."""

from __future__ import annotations

_MOST_DIGITS = 40


def whole_number(text: str) -> int | None:
    """Return the number that a text of ASCII digits is; None for any other text, and for one of more than 40 digits.

    ``int`` also takes ``1_000``, blanks and digits of other scripts, and raises for thousands of digits;
    ``str.isdigit`` is true of ``²``, which ``int`` refuses.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
