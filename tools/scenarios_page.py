"""Writes the catalogue of scenarios from what the scenarios declare: ``python -m tools.pages``."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from typing import Any

from annotated_types import BaseMetadata

from bench.core.registry import SCENARIOS, Entry
from bench.utils.recipe_fields import defaults, hints

_HEAD = """# Scenarios

This page is written by `make pages` from what each scenario declares; `bench list scenarios --json` gives the same to
programs. `--set SCENARIO.PARAMETER=VALUE` sets a parameter. What holds for all scenarios, and how noise, shots and
edits are drawn, is in [tasks](concepts/tasks.md). The tables of the papers are runs of these by name
([experiments](experiments.md)).

"""

_SHARED = {
    "classes": "Which classes take part: all, or only those with text items or prompts, with image items, with both.",
    "memory": "The image memory: the data set's own (`declared`), its support split (`support`), or the first of these "
    "that has images (`auto`).",
    "shots": "Labelled images of a class; null takes all.",
}
"""What the parameters mean that scenarios share, where a scenario says nothing else."""

_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*) : [^\n]*\n((?:[ ]{4}[^\n]*\n?|\n)+)", re.MULTILINE)


def _code(text: str) -> str:
    """Return a docstring's text as Markdown."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`").strip()


def _kind(hint: Any) -> str:
    """Return a type as a reader would say it: ``whole number >= 0, or null``."""
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        bounds = [_bound(mark) for mark in of[1:] if isinstance(mark, BaseMetadata)]
        return " ".join([_kind(of[0]), " and ".join(filter(None, bounds))]).strip()
    if origin in (types.UnionType, typing.Union):
        return ", or ".join(_kind(part) for part in of)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in of)
    if isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return "mapping"
    if origin is tuple:
        return f"list ({_kind(of[0])})"
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _bound(mark: Any) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    said = [f"{sign} {getattr(mark, name)}" for name, sign in signs.items() if getattr(mark, name, None) is not None]
    return " and ".join(said)


def _documented(cls: type) -> tuple[str, dict[str, str]]:
    """Return what a class's docstring says before its attributes, and what it says of each of them."""
    told, _, attributes = (inspect.getdoc(cls) or "").partition("\nAttributes\n----------\n")
    meanings = {
        name: re.sub(r"\bNone\b", "null", " ".join(_code(meaning).split()))
        for names, meaning in _ATTRIBUTE.findall(attributes + "\n")
        for name in names.split(", ")
    }
    return told, meanings


def _depth(cls: type, name: str) -> int:
    """Return how far up the bases a parameter comes from; 0 is the class itself."""
    return max(place for place, base in enumerate(cls.__mro__) if name in inspect.get_annotations(base))


def _section(entry: Entry) -> str:
    told, meanings = _documented(entry.cls)
    for base in entry.cls.__mro__[1:-1]:
        meanings = {**_documented(base)[1], **meanings}
    types_of = hints(entry.cls)
    rows = [
        f"| `{name}` | {_kind(types_of[name])} | `{json.dumps(value)}` | {meanings.get(name, _SHARED.get(name, ''))} |"
        for name, value in sorted(
            defaults(entry.cls(**entry.preset)).items(), key=lambda item: _depth(entry.cls, item[0])
        )
    ]
    table = ["| parameter | values | default | meaning |", "| --- | --- | --- | --- |", *rows]
    return "\n".join([f"## {entry.name}\n", _code(told), "", *(table if rows else [])])


def page() -> str:
    """Return the page as Markdown."""
    entries = [SCENARIOS.get(name) for name in SCENARIOS.names()]
    table = ["| scenario | what it deals |", "| --- | --- |"]
    table += [
        f"| [`{e.name}`](#{e.name}) | {_code((inspect.getdoc(e.cls) or '').split(chr(10), 1)[0])} |" for e in entries
    ]
    return "\n".join([_HEAD, *table, "", "\n\n".join(_section(entry) for entry in entries)]) + "\n"
