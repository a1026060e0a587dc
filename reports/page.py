"""The page: one HTML file with everything in it, that asks nothing of any network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from bench.reports.load import Loaded
from bench.reports.style import Picture, natural
from bench.reports.tables import Cell, Table
from bench.utils.version import SCHEMA, __version__

_HERE = Path(__file__).parent


def render(loaded: Loaded, tables: Sequence[Table], pictures: Sequence[Picture], warnings: Sequence[str]) -> str:
    """Return the page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["code"] = _code
    return environment.get_template("page.html").render(
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        js=(_HERE / "page.js").read_text(encoding="utf-8"),
        version=__version__,
        schema=SCHEMA,
        facts=_facts(loaded.records),
        warnings=warnings,
        tables=tables,
        sections=_sections(pictures),
        background=[methods(loaded.records), runs(loaded), provenance(loaded.records)],
    )


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _code(text: str) -> Markup:
    """Return words as HTML; what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _facts(records: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what the report is about, in numbers."""
    names = {"method": "methods", "dataset": "data sets", "scenario": "scenarios", "seed": "seeds", "cell": "cells"}
    counts = {label: int(records[column].nunique()) for column, label in names.items()}
    return [(label if n != 1 else label.removesuffix("s"), str(n)) for label, n in counts.items()]


def _sections(pictures: Sequence[Picture]) -> list[tuple[str, list[Picture]]]:
    """Return the pictures by what they show: the last word of their names."""
    titles = {
        "curve": "Curves",
        "sweep": "Sweeps",
        "cost": "Accuracy against cost",
        "difference": "Ranks",
        "profile": "Performance profiles",
        "disagreement": "Who is right where the other is wrong",
        "classes": "Class by class",
        "forgetting": "Forgetting",
        "gallery": "What answers rest on",
    }
    ordered = sorted(pictures, key=lambda p: natural(p.name))
    found = {title: [p for p in ordered if p.name.rsplit("-", 1)[-1] == kind] for kind, title in titles.items()}
    return [(title, part) for title, part in found.items() if part]


def methods(records: pd.DataFrame) -> Table:
    """Return what was run: each method's parameters, fidelity and selection."""
    columns = ["method", "fidelity", "selection", "method_params"]
    rows = records[columns].drop_duplicates().sort_values(columns)
    cells = tuple(tuple(Cell(str(v), str(v)) for v in row) for row in rows.itertuples(index=False))
    caption = (
        "Faithful methods follow their papers; adapted ones depart from them as `bench list methods` says. Selection "
        "is where hyperparameters were chosen; oracle means on the queries, which is no fair figure."
    )
    return Table("methods", "Methods", caption, ("method", "fidelity", "selection", "parameters"), cells)


def runs(loaded: Loaded) -> Table:
    """Return the runs the report was made from."""
    rows = []
    for info in loaded.runs:
        manifest = info.manifest
        seeds = ", ".join(str(s) for s in manifest.get("seeds", []))
        done = f"{info.finished} of {info.planned}"
        texts = (manifest["run"], manifest.get("created", "-"), done, seeds or "-", manifest.get("device", "-"))
        rows.append(tuple(Cell(str(text), str(text)) for text in texts))
    head = ("run", "created", "cells finished", "seeds", "device")
    return Table("runs", "Runs", "The same settings and code give the same run.", head, tuple(rows))


def provenance(records: pd.DataFrame) -> Table:
    """Return where the numbers come from: every distinct value of every entry of the records' provenance."""
    found: dict[str, set[str]] = {}
    for text in sorted(records["provenance"].dropna().unique()):
        for key, value in _flat(json.loads(text)):
            found.setdefault(key, set()).add(value)
    for column in ("dataset", "features_fingerprint", "encoder"):
        found[column] = set(records[column].dropna().unique().tolist())
    rows = [(Cell(key, key), Cell(text := "; ".join(sorted(found[key])), text)) for key in sorted(found)]
    caption = "Several values are separated by semicolons."
    return Table("provenance", "Provenance", caption, ("entry", "value"), tuple(rows))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested entries as dotted names and texts."""
    out: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            out += _flat(value, f"{prefix}{key}.")
        else:
            out.append((f"{prefix}{key}", " ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return out
