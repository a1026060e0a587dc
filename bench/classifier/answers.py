"""Answers as plain values, and as JSON, CSV and a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.utils.names import printable
from bench.utils.spreadsheets import inert

NONE = "none of these"
"""The answer where no class is likely enough."""
SHOWN = 3
"""Classes that an answer names."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One item that decided an answer.

    Attributes
    ----------
    item : str
        Its id.
    label : str
        The class for which it counts.
    similarity : float
        Cosine to the query.
    weight : float
        How much it counts, as the method says.
    memory : str
        ``image`` or ``text``.
    """

    item: str
    label: str
    similarity: float
    weight: float
    memory: str = "image"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a classifier says of one query.

    Attributes
    ----------
    label : str
        The class, or :data:`NONE` where none reaches the chosen confidence.
    best : str
        The class with the largest score in any case.
    probability : float
        Of ``best``.
    classes : tuple of (str, float)
        The likeliest classes with their probabilities, best first.
    neighbours : tuple of Evidence
        What decided, those that count most first; empty for a method that retrieves nothing.
    weights : str
        What the weights of the neighbours are, in a few words.
    """

    label: str
    best: str
    probability: float
    classes: tuple[tuple[str, float], ...]
    neighbours: tuple[Evidence, ...] = ()
    weights: str = ""

    def plain(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "label": self.label,
            "best": self.best,
            "probability": round(self.probability, 6),
            "classes": [{"label": name, "probability": round(p, 6)} for name, p in self.classes],
            "neighbours": [
                {
                    "item": one.item,
                    "label": one.label,
                    "similarity": round(one.similarity, 6),
                    "weight": round(one.weight, 6),
                    "memory": one.memory,
                }
                for one in self.neighbours
            ],
            **({"weights": self.weights} if self.neighbours else {}),
        }


def as_json(inputs: Sequence[str], answers: Sequence[Answer]) -> str:
    """Return answers as a JSON list, one object an input."""
    rows = [{"input": name, **answer.plain()} for name, answer in zip(inputs, answers, strict=True)]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def as_csv(inputs: Sequence[str], answers: Sequence[Answer]) -> str:
    """Return answers as CSV with a header, one line an input; neighbours are ``ITEM=CLASS``, joined by blanks."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["input", "label", "probability", "best", "neighbours"])
    for name, answer in zip(inputs, answers, strict=True):
        near = " ".join(f"{one.item}={one.label}" for one in answer.neighbours)
        shown, label, best, by = map(inert, (name, answer.label, answer.best, near))
        writer.writerow([shown, label, f"{answer.probability:.6f}", best, by])
    return out.getvalue().rstrip("\n")


def table_rows(inputs: Sequence[str], answers: Sequence[Answer]) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the rows of a table for people."""
    near = any(answer.neighbours for answer in answers)
    heads = ["input", "answer", "probability", "or", *(["decided by"] if near else [])]
    rows = []
    for name, answer in zip(inputs, answers, strict=True):
        others = ", ".join(f"{other} {p:.2f}" for other, p in answer.classes if other != answer.label)
        row = [printable(name), answer.label, f"{answer.probability:.2f}", others]
        if near:
            row.append(", ".join(f"{one.item} ({one.label}, {one.similarity:.2f})" for one in answer.neighbours))
        rows.append(row)
    return heads, rows
