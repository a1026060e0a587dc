"""Names of classes, as the runs give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.utils.names import printable

ClassNames = Mapping[str, Sequence[str]]
"""By data set, the name of class id i at place i."""

_LONGEST = 24


def of_runs(manifests: Mapping[str, Mapping[str, Any]], used: Iterable[tuple[str, str, str]]) -> ClassNames:
    """Return the class names of each data set.

    Parameters
    ----------
    manifests : mapping
        By run, what its ``run.json`` says; an older one gives no names.
    used : iterable of (str, str, str)
        Run, the data set's name in that run, and its name in the report. The first that has names counts.
    """
    by_dataset: dict[str, Sequence[str]] = {}
    for run, own, shown in sorted(used):
        names = (manifests[run].get("class_names") or {}).get(own)
        if names:
            by_dataset.setdefault(shown, tuple(printable(str(name)) for name in names))
    return by_dataset


def name_of(names: Sequence[str], class_id: int) -> str:
    """Return a class's name, or its id where it has none."""
    return names[class_id] if 0 <= class_id < len(names) else str(class_id)


def short(text: str, longest: int = _LONGEST) -> str:
    """Return a name that fits beside an axis: its beginning and its end, since names of one kind begin alike."""
    if len(text) <= longest:
        return text
    tail = longest // 2
    return f"{text[: longest - tail - 1].rstrip()}…{text[-tail:].lstrip()}"
