"""Figures that a notebook shows one below the other."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from markupsafe import escape

from bench.reports.figures.style import Figure
from bench.reports.tables.files import exact_csv
from bench.utils.atomic import write_atomically


class Figures(tuple[Figure, ...]):
    """Finished figures, each with its numbers (``data``) and its files (``png``, ``svg``)."""

    __slots__ = ()

    def __new__(cls, drawn: Sequence[Figure]) -> Figures:
        """Return the figures as one value."""
        return super().__new__(cls, drawn)

    def save(self, folder: str | Path) -> list[Path]:
        """Write each figure as SVG, PNG and CSV of its numbers, and return the SVG files."""
        made = []
        for drawn in self:
            place = Path(folder) / drawn.name
            write_atomically(place.with_name(f"{drawn.name}.png"), drawn.png)
            write_atomically(place.with_name(f"{drawn.name}.csv"), exact_csv(drawn.data))
            write_atomically(place.with_name(f"{drawn.name}.svg"), drawn.svg)
            made.append(place.with_name(f"{drawn.name}.svg"))
        return made

    def __repr__(self) -> str:
        return "\n".join(f"<figure {drawn.name}: {drawn.title}>" for drawn in self)

    def _repr_html_(self) -> str:
        return "".join(
            f'<figure style="margin:0 0 1em"><img style="max-width:100%;background:#fff" alt="{escape(drawn.title)}" '
            f'src="data:image/svg+xml;base64,{base64.b64encode(drawn.svg).decode()}">'
            f"<figcaption>{escape(drawn.caption)}</figcaption></figure>"
            for drawn in self
        )
