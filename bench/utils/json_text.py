"""JSON from outside: bounded in depth, and no key given twice."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

MAX_DEPTH = 64
"""Levels of lists and objects within one another."""

_MARKS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        In one line, for what is no JSON, is nested deeper than :data:`MAX_DEPTH`, gives a key twice, or has a number of
        thousands of digits.
    """
    _check_depth(text)
    try:
        return json.loads(text, object_pairs_hook=_no_key_twice)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep") from None


def _check_depth(text: str) -> None:
    # Most texts have fewer brackets than levels are allowed, or close them one after the other.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for mark in _MARKS.finditer(text):
        if mark[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
        elif mark[0] in "]}":
            depth -= 1


def _no_key_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key[:60]!r} is given twice")
            seen.add(key)
    return content
