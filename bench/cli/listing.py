"""``bench list``: what can be named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click


def as_text(found: list[dict[str, Any]]) -> str:
    """Return a listing as lines: name, marks, summary."""
    width = max((len(entry["name"]) for entry in found), default=0) + 2
    lines = []
    for entry in found:
        marks = [mark for mark in ("trains", "extends", "forgets") if entry.get(mark)]
        marks += [f"sees a {entry['sees']}"] if entry.get("sees", "query") != "query" else []
        marks += [entry["fidelity"]] if "fidelity" in entry else []
        marks += [f"needs {'+'.join(entry['needs'])}"] if entry.get("needs") else []
        marks += [f"chooses on {entry['selection']}"] if entry.get("selection", "none") != "none" else []
        tail = f"  [{', '.join(marks)}]" if marks else ""
        preset = ", ".join(f"{k}={v}" for k, v in entry.get("preset", {}).items())
        summary = f"with {preset}" if preset else entry["summary"]
        if "there" in entry:
            tail = f"  [{entry['origin'] if entry['there'] else 'not here'}]"
        lines.append(f"{entry['name']:<{width}}{summary}{tail}")
        lines += [f"{'':<{width}}{text}" for text in _details(entry)]
    return "\n".join(lines)


def _details(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield what more there is to say of an entry, a line each."""
    if entry.get("adapted"):
        yield f"adapted: {' '.join(str(entry['adapted']).split())}"
    if entry.get("parameters"):
        yield "parameters: " + ", ".join(f"{key}={value}" for key, value in entry["parameters"].items())
    if entry.get("there") is False:
        yield entry["origin"]


_PLACES = {
    "methods": "listing_registered",
    "scenarios": "listing_registered",
    "datasets": "listing_data",
    "experiments": "listing_data",
    "encoders": "listing_registered",
    "engines": "listing_registered",
    "metrics": "listing_metrics",
    "figures": "listing_figures",
}
"""The module here whose function of the kind's name returns its rows; imported for that kind alone."""


def rows(kind: str) -> list[dict[str, Any]]:
    """Return a row for each name of a kind, such as ``"methods"``: its name, its summary and what it declares."""
    found: list[dict[str, Any]] = getattr(import_module(f"bench.cli.{_PLACES[kind]}"), kind)()
    return found


@click.command(name="list")
@click.argument("kind", type=click.Choice(list(_PLACES)))
@click.option("--json", "as_json", is_flag=True, help="A list of objects, each with a name.")
def list_(kind: str, as_json: bool) -> None:
    """List what there is."""
    found = rows(kind)
    click.echo(json.dumps(found, indent=2, default=str) if as_json else as_text(found))
