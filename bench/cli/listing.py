"""``bench list``: what can be named."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from bench.core.protocols import Extends, Forgets, Trains
from bench.core.registry import METHODS, SCENARIOS, Registry
from bench.data.registry import known
from bench.runner.experiments import listing
from bench.utils.params import defaults


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n", 1)[0]


def _entries(registry: Registry) -> list[tuple[str, type, dict[str, Any]]]:
    found = []
    for name in registry.names():
        entry = registry.get(name)
        found.append((name, entry.cls, dict(entry.preset)))
    return found


def methods() -> list[dict[str, Any]]:
    """Return every method with what it declares of itself."""
    found = []
    for name, cls, preset in _entries(METHODS):
        recipe = cls(**preset)
        about = recipe.about
        found.append(
            {
                "name": name,
                "registered": recipe.name,
                "summary": _summary(cls),
                "fidelity": about.fidelity,
                "needs": list(about.needs),
                "selection": about.selection,
                "trains": isinstance(recipe, Trains),
                "extends": isinstance(recipe, Extends),
                "forgets": isinstance(recipe, Forgets),
                "stores_items": about.stores_items,
                "preset": preset,
                "paper": about.paper,
                "equation": about.equation,
                "adapted": about.adapted,
                "parameters": defaults(recipe),
            }
        )
    return found


def scenarios() -> list[dict[str, Any]]:
    """Return every scenario with its parameters."""
    return [
        {"name": name, "summary": _summary(cls), "parameters": defaults(cls(**preset))}
        for name, cls, preset in _entries(SCENARIOS)
    ]


def datasets() -> list[dict[str, Any]]:
    """Return every data set that can be named."""
    return [{"name": entry.name, "summary": entry.description, "origin": entry.origin} for entry in known().values()]


def experiments() -> list[dict[str, Any]]:
    """Return every table and figure of the papers that is a run with a name."""
    return listing()


def as_text(found: list[dict[str, Any]]) -> str:
    """Return a listing as lines: name, marks, summary."""
    width = max((len(entry["name"]) for entry in found), default=0) + 2
    lines = []
    for entry in found:
        marks = [mark for mark in ("trains", "extends", "forgets") if entry.get(mark)]
        marks += [entry["fidelity"]] if "fidelity" in entry else []
        marks += [f"needs {'+'.join(entry['needs'])}"] if entry.get("needs") else []
        marks += [f"chooses on {entry['selection']}"] if entry.get("selection", "none") != "none" else []
        tail = f"  [{', '.join(marks)}]" if marks else ""
        preset = ", ".join(f"{k}={v}" for k, v in entry.get("preset", {}).items())
        summary = f"with {preset}" if preset else entry["summary"]
        lines.append(f"{entry['name']:<{width}}{summary}{tail}")
    return "\n".join(lines)


_KINDS = {"methods": methods, "scenarios": scenarios, "datasets": datasets, "experiments": experiments}


@click.command(name="list")
@click.argument("kind", type=click.Choice(list(_KINDS)))
@click.option("--json", "as_json", is_flag=True, help="A list of objects, each with a name.")
def list_(kind: str, as_json: bool) -> None:
    """List what there is."""
    found = _KINDS[kind]()
    click.echo(json.dumps(found, indent=2, default=str) if as_json else as_text(found))
