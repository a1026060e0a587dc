"""Words for people and names of files: conditions, groups, sorting by number."""

from __future__ import annotations

import hashlib
import json
import re

from bench.utils.names import printable

_LONGEST = 120
"""Characters of a file's name; an ending joins it."""


def condition_text(condition: str) -> str:
    """Return a condition (JSON) in words: ``base 0, increment 10``."""
    return printable(", ".join(f"{key} {_value_text(value)}" for key, value in json.loads(condition).items()))


def _value_text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def place(scenario: object, dataset: object, condition: object) -> str:
    """Return what a figure is about in words: ``incremental on glyphs, base 0, increment 10``."""
    words = condition_text(str(condition))
    return f"{scenario} on {dataset}" + (f", {words}" if words else "")


def slug(*parts: str) -> str:
    """Return a file name of letters, digits, dots and hyphens.

    A long one is cut; it, and one that would lack letters of another script, is told apart by a hash.
    """
    whole = "-".join(part for part in parts if part)
    words = re.sub(r"[^A-Za-z0-9.]+", "-", whole).strip("-.").lower()
    if len(words) <= _LONGEST and not any(c.isalnum() and not c.isascii() for c in whole):
        return words
    mark = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{words[: _LONGEST - 7]}-{mark}".strip("-.")


def natural(text: str) -> str:
    """Return a text that sorts by its numbers: ``"shots": 4`` comes before ``"shots": 16``."""
    return re.sub(r"\d+(\.\d+)?", lambda match: f"{float(match.group()):020.6f}", text)


def file_name(scenario: object, dataset: object, condition: object, what: str) -> str:
    """Return the name of the file about one group; a long condition is cut and told apart by a hash."""
    words = slug(condition_text(str(condition)))
    if len(words) > 60:
        words = f"{words[:50]}-{hashlib.sha256(str(condition).encode()).hexdigest()[:6]}"
    return slug(str(scenario), str(dataset), words, what)
