"""Durations as people write them."""

from __future__ import annotations

import re

from bench.utils.errors import BenchError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``10m`` or ``1.5h``.

    Raises
    ------
    BenchError
        If it is no duration above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if found is None or not float(found[1]):
        raise BenchError(f"{text!r} is no duration; write 90s, 10m or 1.5h")
    return float(found[1]) * _UNITS[found[2]]
