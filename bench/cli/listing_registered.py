"""Rows of ``bench list`` for what is registered, read from its source so that nothing waits for torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any

from bench.utils.declared import Declared
from bench.utils.recipe_fields import defaults
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
