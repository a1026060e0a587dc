"""The log of a pack's versions: one entry an edit, each with the hash of the one before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import digest
from bench.utils.json_text import parse_json
from bench.utils.texts import read_text

FOLDER = "history"
"""Where a pack keeps its versions."""
LOG = "log.json"
FORMAT = 1

Action = Literal["begin", "add", "remove", "relabel", "revert", "outside"]
"""What was done. ``begin`` is the pack as it was found; ``outside`` a change that no command of this log made."""

_Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12,16}$")]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One edit.

    Attributes
    ----------
    entry : str
        Its hash, which covers all below and the hash of the entry before it.
    before : str
        The hash of the entry before it; empty for the first.
    time : str
        UTC, as ISO 8601.
    version, parent : str
        The version that it made, and the one that it was made of (empty for none).
    items : int
        How many items it added, removed or relabelled.
    chunk : str
        SHA-256 of the arrays of the items that it added; empty for none.
    """

    entry: str = ""
    before: str
    time: str
    action: Action
    version: str
    parent: str
    items: int
    reason: str = ""
    source: str = ""
    licence: str = ""
    chunk: str = ""
    what: str = ""

    def sealed(self) -> Entry:
        """Return the entry with its hash."""
        content = {key: value for key, value in asdict(self).items() if key != "entry"}
        return replace(self, entry=digest(content)[:16])


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    entry: _Id
    before: str
    time: str
    action: Action
    version: _Id
    parent: str
    items: Annotated[int, Ge(0)]
    reason: str = ""
    source: str = ""
    licence: str = ""
    chunk: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    what: str = ""


class _Log(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    format: int
    entries: list[_Entry]


def now() -> str:
    """Return the time, UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def moment(text: str) -> datetime:
    """Return a time; a day without one means its end, UTC, so that all of the day counts."""
    try:
        if len(text) <= len("2026-01-01"):
            return datetime.combine(date.fromisoformat(text), time.max, UTC)
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BenchError(f"{text!r} is no time; write a day such as 2026-01-31, or 2026-01-31T12:00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_log(folder: Path) -> tuple[Entry, ...]:
    """Return the entries of a pack's log, oldest first; none if it has no history.

    Raises
    ------
    BenchError
        If the log is damaged, or entries were cut out of it or changed.
    """
    path = folder / FOLDER / LOG
    if not path.exists():
        return ()
    advice = "copy the whole history folder again, or delete it to begin a new one"
    try:
        content: Any = parse_json(read_text(path, "the history of a pack"))
        if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] > FORMAT:
            raise BenchError(f"{path} has format {content['format']}, newer than {FORMAT}; update retrieval-bench")
        found = tuple(Entry(**entry.model_dump()) for entry in _Log.model_validate(content).entries)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise BenchError(f"{path} is damaged ({where}: {first['msg'].lower()}); {advice}") from None
    except ValueError as error:
        raise BenchError(f"{path} is damaged ({one_line(error)}); {advice}") from None
    before = ""
    for number, entry in enumerate(found, 1):
        if entry.before != before:
            raise BenchError(f"{path} was cut: what came before its entry {number} is not there; {advice}")
        if entry.sealed().entry != entry.entry:
            raise BenchError(f"{path}: entry {number} was changed after it was written; {advice}")
        before = entry.entry
    return found


def write_log(folder: Path, entries: Sequence[Entry]) -> None:
    """Write the log, whole or not at all."""
    content = {"format": FORMAT, "entries": [asdict(entry) for entry in entries]}
    write_atomically(folder / FOLDER / LOG, json.dumps(content, indent=1, ensure_ascii=False))
