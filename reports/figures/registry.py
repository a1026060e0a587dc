"""Figures by name: each is a function of the analysis that yields what it draws, under a section of the report.

A figure of a plug-in comes in by :func:`figure` and the entry-point group ``retrieval_bench.figures``::

    @figure("margins", section="comparisons")
    def margins(analysis: Analysis) -> Iterator[Figure]:
        for group in analysis.detailed_groups:
            with canvas() as (drawing, (axes,)):
                ...
            yield render(drawing, name=file_name(*group.key, "margins"), title=..., caption=..., data=...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from bench.reports.analysis import Analysis
from bench.reports.figures.style import Figure
from bench.reports.utils.note import Note
from bench.reports.utils.registry import Registry
from bench.utils.errors import BenchError, suggest

SectionKey = Literal[
    "answer",
    "scores",
    "measures",
    "costs",
    "trust",
    "comparisons",
    "datasets",
    "sweeps",
    "classes",
    "evidence",
    "worth",
    "audit",
    "published",
    "differences",
    "further",
]
"""The sections of a report, in their order; ``further`` holds figures that belong to none of the others."""

Draw = Callable[[Analysis], Iterable[Figure | Note]]


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """One kind of figure: its name, the section it stands in, and the function that draws it."""

    name: str
    section: SectionKey
    draw: Draw

    def __call__(self, analysis: Analysis) -> Iterator[Figure | Note]:
        """Yield the figures, and notes of what is not drawn; a plug-in's failure is one line."""
        plugin = FIGURES.plugin_of(self.name)
        if plugin is None:
            yield from self.draw(analysis)
            return
        try:
            drawn = list(self.draw(analysis))
        except Exception as error:
            raise BenchError(
                f"figure {self.name!r} of plug-in {plugin!r} failed ({type(error).__name__}: {error}); mend or "
                "uninstall it"
            ) from error
        strange = sorted({type(item).__name__ for item in drawn if not isinstance(item, (Figure, Note))})
        if strange:
            raise BenchError(
                f"figure {self.name!r} of plug-in {plugin!r} yields {', '.join(strange)}, which is no finished figure; "
                "return what `render` makes of it"
            )
        yield from drawn


FIGURES: Registry[FigureKind] = Registry("figure", "retrieval_bench.figures", __package__)
"""All kinds of figures: those of the modules beside this one, then those of plug-ins."""


def figure(name: str, *, section: SectionKey = "further") -> Callable[[Draw], Draw]:
    """Register a function that yields figures from the analysis.

    Raises
    ------
    BenchError
        If there is no such section: without one a figure would be on no page.
    """
    if section not in get_args(SectionKey):
        hint = suggest(section, get_args(SectionKey))
        raise BenchError(f"figure {name!r} stands in section {section!r}, which a report does not have{hint}")

    def register(draw: Draw) -> Draw:
        FIGURES.add(name, FigureKind(name=name, section=section, draw=draw))
        return draw

    return register
