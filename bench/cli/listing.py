"""``bench list``: what can be named. What is built in is read from its source, so that nothing waits for torch."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any

import click

from bench.cli.options import warn
from bench.utils.declared import Declared
from bench.utils.registry import ENCODER, ENGINE, METHOD, SCENARIO, Entry, Kind


def _rows(
    kind: Kind,
    read: Callable[[Declared], Iterator[dict[str, Any]]],
    of_entry: Callable[[Entry], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return a row a name: read from the source where it says all, and from the class where it does not."""
    found: list[dict[str, Any]] = []
    for entry in kind.built_in():
        if entry.complete:
            found += read(entry)
        else:
            import_module(entry.module)
            registry = kind.registry()
            found += [
                of_entry(made) for made in map(registry.get, registry.names()) if made.cls.__module__ == entry.module
            ]
    if kind.plug_ins():
        found += [of_entry(entry) for entry in kind.registry().plugged()]
    return sorted(found, key=lambda row: str(row["name"]))


def _summary(cls: Any) -> str:
    return (inspect.getdoc(cls) or "").split("\n", 1)[0]


def methods() -> list[dict[str, Any]]:
    """Return every method with what it declares of itself."""
    return _rows(METHOD, _methods_read, method_row)


def _methods_read(entry: Declared) -> Iterator[dict[str, Any]]:
    options = entry.options
    variants: Mapping[str, Mapping[str, Any]] = options.get("variants", {})
    for name, preset in {entry.name: {}, **variants}.items():
        adapted = "" if name in options.get("faithful", ()) else options.get("adapted", "")
        yield {
            "name": name,
            "registered": entry.name,
            "summary": entry.summary,
            "fidelity": "adapted" if adapted else "faithful",
            "needs": [*options.get("needs", ()), *options.get("also_needs", {}).get(name, ())],
            "selection": options.get("selection", "none"),
            "sees": options.get("sees", "query"),
            "trains": "train" in entry.functions,
            "extends": "extend" in entry.functions,
            "forgets": "forget" in entry.functions,
            "stores_items": options.get("stores_items", False),
            "preset": dict(preset),
            "paper": options.get("paper", ""),
            "equation": options.get("equation", ""),
            "adapted": adapted,
            "parameters": {**entry.parameters, **preset},
        }


def method_row(entry: Entry) -> dict[str, Any]:
    """Return the row of a method that is imported."""
    from bench.utils.params import defaults

    recipe = entry.cls(**entry.preset)
    about = recipe.about
    return {
        "name": entry.name,
        "registered": recipe.name,
        "summary": _summary(entry.cls),
        "fidelity": about.fidelity,
        "needs": list(about.needs),
        "selection": about.selection,
        "sees": about.sees,
        "trains": hasattr(recipe, "train"),
        "extends": hasattr(recipe, "extend"),
        "forgets": hasattr(recipe, "forget"),
        "stores_items": about.stores_items,
        "preset": dict(entry.preset),
        "paper": about.paper,
        "equation": about.equation,
        "adapted": about.adapted,
        "parameters": defaults(recipe),
    }


def scenarios() -> list[dict[str, Any]]:
    """Return every scenario with its parameters."""
    return _rows(SCENARIO, _parameters_read, parameters_row)


def engines() -> list[dict[str, Any]]:
    """Return every search engine with its parameters."""
    return _rows(ENGINE, _parameters_read, parameters_row)


def _parameters_read(entry: Declared) -> Iterator[dict[str, Any]]:
    yield {"name": entry.name, "summary": entry.summary, "parameters": dict(entry.parameters)}


def parameters_row(entry: Entry) -> dict[str, Any]:
    """Return the row of a class of parameters that is imported."""
    parameters = {}
    for part in fields(entry.cls):
        made = part.default_factory() if part.default_factory is not MISSING else part.default
        if part.init and part.metadata.get("param", True) and made is not MISSING:
            parameters[part.name] = made
    return {"name": entry.name, "summary": _summary(entry.cls), "parameters": parameters}


def encoders() -> list[dict[str, Any]]:
    """Return every encoder and scheme of encoders."""
    fallback = {
        "name": "NAME:PRETRAINED",
        "summary": "any architecture of open_clip with a tag, or with a checkpoint's path",
    }
    return [*_rows(ENCODER, _described_read, described_row), fallback]


def _described_read(entry: Declared) -> Iterator[dict[str, Any]]:
    yield {"name": entry.name, "summary": entry.options.get("description", "")}


def described_row(entry: Entry) -> dict[str, Any]:
    """Return the row of what is registered with a description and is imported."""
    return {"name": entry.name, "summary": entry.options.get("description", "")}


def datasets() -> list[dict[str, Any]]:
    """Return every data set that can be named, and every standard one that is not there yet."""
    # What reads manifests takes longer to import than all methods take to be listed.
    from bench.data.declaration import declarations
    from bench.data.names import known

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
    from bench.runner.experiments import listing

    return listing()


def metrics() -> list[dict[str, Any]]:
    """Return every metric of a report with its head in tables."""
    # What reports are made with takes longer to import than all else that is listed.
    from bench.reports.metrics.definitions import METRICS

    warn(METRICS.warnings)
    return [{"name": one.name, "summary": one.meaning or one.head or one.name, "head": one.head} for one in METRICS]


def figures() -> list[dict[str, Any]]:
    """Return every kind of figure of a report, and the section that each stands in."""
    from bench.reports.figures.registry import FIGURES

    warn(FIGURES.warnings)
    return [{"name": one.name, "summary": _summary(one.draw), "section": one.section} for one in FIGURES]


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


_KINDS = {
    "methods": methods,
    "scenarios": scenarios,
    "datasets": datasets,
    "experiments": experiments,
    "encoders": encoders,
    "engines": engines,
    "metrics": metrics,
    "figures": figures,
}


@click.command(name="list")
@click.argument("kind", type=click.Choice(list(_KINDS)))
@click.option("--json", "as_json", is_flag=True, help="A list of objects, each with a name.")
def list_(kind: str, as_json: bool) -> None:
    """List what there is."""
    found = _KINDS[kind]()
    click.echo(json.dumps(found, indent=2, default=str) if as_json else as_text(found))
