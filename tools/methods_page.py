"""Writes the table of methods from what the methods declare: ``python -m tools.pages``."""

from __future__ import annotations

import inspect
import re
from typing import Any

from bench.cli.listing_registered import methods
from bench.core.registry import METHODS

_HEAD = """# Methods

This page is written by `make pages` from what each method declares; `bench list methods --json` gives the same to
programs. All methods run on frozen features. A method that lacks something it needs is skipped, and the record says
why.

- *Extends*: the method updates its state from one session to the next. The others are built again in each session from
  the exemplars they may keep.
- *Forgets*: the method removes items exactly; its scores then equal those of a state that never saw the items.
- *Adapted* says what differs from the paper or its code. *Faithful*: the official code was run on made inputs, and
  `tests/parity/` holds this one to the figures that it gave, with its commit and file (`sklearn` calls the estimators
  themselves). Answers with equal scores go to the first column unless a method says otherwise.
- *Sees*: what an answer depends on: that `query` alone, the `stream` of those before it too, or the `set` of all of a
  session ([what that means](concepts/run.md#what-a-method-sees-of-the-queries)).
- *Stores items*: the state holds the items themselves, so an exemplar budget limits what it may answer from.
"""


def _mark(flag: bool) -> str:
    return "yes" if flag else ""


def _row(entry: dict[str, Any]) -> str:
    cells = [
        f"`{entry['name']}`",
        ", ".join(entry["needs"]),
        entry["selection"],
        entry["sees"],
        *(_mark(entry[key]) for key in ("trains", "extends", "forgets", "stores_items")),
    ]
    return f"| {' | '.join(cells)} |"


def _more(own: dict[str, Any], variant: dict[str, Any]) -> list[str]:
    """Return in what a variant differs from its method: what else it needs, and that it alone is faithful."""
    faithful = ["faithful"] if variant["fidelity"] == "faithful" != own["fidelity"] else []
    return [*(f"needs {need}" for need in variant["needs"] if need not in own["needs"]), *faithful]


def _variants(name: str, found: list[dict[str, Any]]) -> str:
    own = next(e for e in found if e["name"] == name)
    names = [
        f"`{e['name']}` ({', '.join([*(f'{k}={v}' for k, v in e['preset'].items()), *_more(own, e)])})"
        for e in found
        if e["preset"] and e["registered"] == name
    ]
    return f" Variants: {', '.join(names)}." if names else ""


def _details(name: str) -> list[str]:
    """Return what a method's docstring says after its first line, its attributes as a list."""
    text, _, attributes = (inspect.getdoc(METHODS.get(name).cls) or "").partition("\n\nAttributes\n----------\n")
    rest = text.partition("\n")[2].strip()
    lines = [f"\n{rest}"] if rest else []
    for entry in re.split(r"\n(?=\S)", attributes.strip()):
        head, _, told = entry.partition("\n")
        if told:
            names = ", ".join(f"`{name.strip()}`" for name in head.partition(" : ")[0].split(","))
            gap = "" if lines and lines[-1].startswith("- ") else "\n"
            lines.append(f"{gap}- {names}: {' '.join(told.split())}")
    return [line.replace("``", "`") for line in lines]


def page() -> str:
    """Return the page as Markdown."""
    found = methods()
    own = [entry for entry in found if not entry["preset"]]
    lines = [
        _HEAD,
        "| method | needs | chooses on | sees | trains on seen classes | extends | forgets | stores items |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_row(entry) for entry in own),
    ]
    for entry in own:
        changed = f" *Adapted:* {entry['adapted']}." if entry["adapted"] else " *Faithful.*"
        lines += [
            f"\n## {entry['name']}\n",
            f"{entry['summary']} {entry['paper']}; `{entry['equation']}`.{changed}{_variants(entry['name'], found)}",
            *_details(entry["name"]),
        ]
    return "\n".join(lines) + "\n"
