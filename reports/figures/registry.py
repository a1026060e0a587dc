"""Figures by name: each is a function of the analysis that yields what it draws, under a section of the report.

A figure of a plug-in comes in by :func:`figure` and the entry-point group ``retrieval_bench.figures``::

    @figure("margins", section="comparisons", each=lambda analysis: analysis.detailed_groups)
    def margins(analysis: Analysis, group: Group) -> Iterator[Figure]:
        with canvas() as (drawing, (axes,)):
            ...
        yield render(drawing, name=file_name(*group.key, "margins"), title=..., caption=..., data=...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

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

Draw = Callable[..., Iterable[Figure | Note]]
Part = Callable[[], list[Figure | Note]]
"""Draws a part of the figures of one kind."""


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """One kind of figure: its name, the section it stands in, and the function that draws it.

    Attributes
    ----------
    name : str
    section : str
    draw : callable
        Yields figures and notes from the analysis; where there is ``each``, from the analysis and one of these.
    each : callable, optional
        Returns from the analysis what is drawn apart, such as groups: as many processes draw as there are.
    early : bool
        Whether it takes only groups of predictions, the names of methods and those of classes: it is drawn while all
        else is computed.
    """

    name: str
    section: SectionKey
    draw: Draw
    each: Callable[[Analysis], Iterable[Any]] | None = None
    early: bool = False

    def __call__(self, analysis: Analysis) -> Iterator[Figure | Note]:
        """Yield the figures, and notes of what is not drawn; a plug-in's failure is one line."""
        for part in self.parts(analysis):
            yield from part()

    def parts(self, analysis: Analysis) -> list[Part]:
        """Return what draws the kind, part after part; a plug-in's failure is one line."""
        if self.each is None:
            return [partial(self._drawn, analysis)]
        with self._blamed():
            return [partial(self._drawn, analysis, one) for one in self.each(analysis)]

    def _drawn(self, *of: Any) -> list[Figure | Note]:
        with self._blamed():
            drawn = list(self.draw(*of))
        strange = sorted({type(item).__name__ for item in drawn if not isinstance(item, (Figure, Note))})
        if strange:
            raise BenchError(
                f"figure {self.name!r} of plug-in {FIGURES.plugin_of(self.name)!r} yields {', '.join(strange)}, which "
                "is no finished figure; return what `render` makes of it"
            )
        return drawn

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Turn what a plug-in raises into one line that names it."""
        plugin = FIGURES.plugin_of(self.name)
        try:
            yield
        except Exception as error:
            if plugin is None:
                raise
            raise BenchError(
                f"figure {self.name!r} of plug-in {plugin!r} failed ({type(error).__name__}: {error}); mend or "
                "uninstall it"
            ) from error


FIGURES: Registry[FigureKind] = Registry("figure", "retrieval_bench.figures", __package__)
"""All kinds of figures: those of the modules beside this one, then those of plug-ins."""


def figure(
    name: str,
    *,
    section: SectionKey = "further",
    each: Callable[[Analysis], Iterable[Any]] | None = None,
    early: bool = False,
) -> Callable[[Draw], Draw]:
    """Register a function that yields figures from the analysis; see :class:`FigureKind` for the rest.

    Raises
    ------
    BenchError
        If there is no such section: without one a figure would be on no page.
    """
    if section not in get_args(SectionKey):
        hint = suggest(section, get_args(SectionKey))
        raise BenchError(f"figure {name!r} stands in section {section!r}, which a report does not have{hint}")

    def register(draw: Draw) -> Draw:
        FIGURES.add(name, FigureKind(name=name, section=section, draw=draw, each=each, early=early))
        return draw

    return register
