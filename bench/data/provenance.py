"""``provenance.json``: what the builder of a memory knew of each of its items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.texts import read_text

PROVENANCE_FILE = "provenance.json"
"""Its name, beside the pack's arrays."""


def read_provenance(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what is known of a memory's items; nothing where there is no such file."""
    if not path.exists():
        return {}
    try:
        content = parse_json(read_text(path, "the file that `bench memory build` wrote"))
    except ValueError as error:
        raise BenchError(f"{path} is damaged: {one_line(error)}; build the memory again") from None
    parts = content.values() if isinstance(content, dict) else [None]
    if not all(isinstance(part, list) and all(isinstance(entry, dict) for entry in part) for part in parts):
        raise BenchError(f"{path} holds no lists of items; build the memory again")
    return {str(part): entries for part, entries in content.items()}
