"""Words for people and names of files: conditions, groups, sorting by number."""

from __future__ import annotations

import hashlib
import json
import re


def condition_text(condition: str) -> str:
    """Return a condition (JSON) in words: ``base 0, increment 10``."""
    return ", ".join(f"{key} {_value_text(value)}" for key, value in json.loads(condition).items())


def _value_text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def place(scenario: object, dataset: object, condition: object) -> str:
    """Return what a figure is about in words: ``incremental on glyphs, base 0, increment 10``."""
    words = condition_text(str(condition))
    return f"{scenario} on {dataset}" + (f", {words}" if words else "")


def slug(*parts: str) -> str:
    """Return a file name of letters, digits, dots and hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(part for part in parts if part)).strip("-").lower()


def natural(text: str) -> str:
    """Return a text that sorts by its numbers: ``"shots": 4`` comes before ``"shots": 16``."""
    return re.sub(r"\d+(\.\d+)?", lambda match: f"{float(match.group()):020.6f}", text)


def file_name(scenario: object, dataset: object, condition: object, what: str) -> str:
    """Return the name of the file about one group; a long condition is cut and told apart by a hash."""
    words = slug(condition_text(str(condition)))
    if len(words) > 60:
        words = f"{words[:50]}-{hashlib.sha256(str(condition).encode()).hexdigest()[:6]}"
    return slug(str(scenario), str(dataset), words, what)
