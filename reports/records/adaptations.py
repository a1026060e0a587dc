"""What adapted methods change, as their source says it."""

from __future__ import annotations

from functools import cache

from bench.utils.errors import BenchError
from bench.utils.registry import METHOD


@cache
def adaptations() -> dict[str, str]:
    """Return, by registered name, what a built-in method changes of its paper; nothing where a file cannot be read."""
    try:
        found = {entry.name: str(entry.options.get("adapted", "")) for entry in METHOD.built_in()}
    except BenchError:
        return {}
    # Tables show words as they are.
    return {name: " ".join(text.replace("`", "").split()) for name, text in found.items() if text}
