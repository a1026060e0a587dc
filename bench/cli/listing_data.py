"""Rows of ``bench list`` for data sets and experiments."""

from __future__ import annotations

from typing import Any

from bench.data.declaration import declarations
from bench.data.names import known
from bench.runner.experiments import OF_DATA, listing


def datasets() -> list[dict[str, Any]]:
    """Return every data set that can be named, and every standard one that is not there yet."""
    here = known()
    found = [
        {"name": entry.name, "summary": entry.description, "origin": entry.origin, "there": True}
        for entry in here.values()
    ]
    for name, one in declarations().items():
        if name not in here:
            origin = f"bench data prepare {name} --root FOLDER --encoder ENCODER makes it, from {one.home}"
            found.append({"name": name, "summary": one.title, "origin": origin, "there": False})
    return found


def experiments() -> list[dict[str, Any]]:
    """Return every table and figure of the papers that is a run with a name."""
    described = [
        {"name": name, "summary": f"{summary}; `bench data table {name} DATA`"} for name, summary in OF_DATA.items()
    ]
    return [*listing(), *described]
