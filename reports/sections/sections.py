"""The sections of a report in their order: each yields its tables, its files of numbers, its figures and its notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.reports.analysis import Analysis
from bench.reports.figures.drawing import Drawn
from bench.reports.figures.registry import FIGURES, SectionKey
from bench.reports.figures.style import Figure
from bench.reports.sections import (
    across_datasets,
    answer,
    comparisons,
    cost,
    differences,
    evidence,
    measures,
    near_duplicates,
    published,
    scores,
    sweeps,
    trust,
    worth,
)
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Table
from bench.reports.utils.note import Note, Sentence
from bench.reports.utils.text import natural
from bench.utils.errors import BenchError

Item = Table | DataFile | Note | Sentence | Figure


def _figures_alone(analysis: Analysis) -> Iterator[Table]:
    """Yield no table: the section holds figures."""
    return iter(())


@dataclass(frozen=True)
class Section:
    """One section: what its heading says, and the function that yields all but its figures."""

    key: SectionKey
    title: str
    tables: Callable[[Analysis], Iterable[Table | DataFile | Note | Sentence]] = _figures_alone

    def figures(self, drawn: Drawn) -> Iterator[Figure | Note]:
        """Yield all figures that name the section, each kind by number, and their notes."""
        for kind in FIGURES:
            if kind.section == self.key and kind.name in drawn:
                items = drawn[kind.name]
                yield from sorted((i for i in items if isinstance(i, Figure)), key=lambda drawn: natural(drawn.name))
                yield from (item for item in items if isinstance(item, Note))


SECTIONS = (
    Section("answer", "In short", answer.section),
    Section("scores", "Scores", scores.section),
    Section("measures", "What the scenario measures", measures.section),
    Section("costs", "What methods cost", cost.section),
    Section("trust", "How far an answer can be trusted", trust.section),
    Section("comparisons", "Paired comparisons", comparisons.section),
    Section("datasets", "Over data sets", across_datasets.section),
    Section("sweeps", "What a sweep changes", sweeps.section),
    Section("classes", "Class by class"),
    Section("evidence", "What answers rest on", evidence.section),
    Section("worth", "What the memory is worth", worth.section),
    Section("audit", "Audit", near_duplicates.section),
    Section("published", "Published", published.section),
    Section("differences", "Differences between runs", differences.section),
    Section("further", "Further figures"),
)
"""All sections, in the order of the page."""


@dataclass(frozen=True, eq=False)
class Part:
    """One section of a report with all that it holds."""

    key: str
    title: str
    tables: list[Table]
    figures: list[Figure]
    data: list[DataFile]
    notes: list[str]
    sentences: list[str] = field(default_factory=list)


def tables(analysis: Analysis) -> list[list[Item]]:
    """Return what every section holds beside its figures.

    Raises
    ------
    BenchError
        If a kind of figure names no section: it would be missing.
    """
    homeless = [kind.name for kind in FIGURES if kind.section not in {section.key for section in SECTIONS}]
    if homeless:
        raise BenchError(f"figures {', '.join(homeless)} name no section of the report; give each one of SECTIONS")
    return [list(section.tables(analysis)) for section in SECTIONS]


def parts(beside: Sequence[Sequence[Item]], drawn: Drawn) -> list[Part]:
    """Return every section with what it holds: what :func:`tables` made, and figures that were drawn.

    Raises
    ------
    BenchError
        If two figures or tables have one name: one of them would be missing.
    """
    filled = []
    for section, made in zip(SECTIONS, beside, strict=True):
        items: list[Item] = [*made, *section.figures(drawn)]
        filled.append(
            Part(
                section.key,
                section.title,
                tables=[item for item in items if isinstance(item, Table)],
                figures=[item for item in items if isinstance(item, Figure)],
                data=[item for item in items if isinstance(item, DataFile)],
                notes=[item.text for item in items if isinstance(item, Note)],
                sentences=[item.text for item in items if isinstance(item, Sentence)],
            )
        )
    for what, names in (
        ("figures", [drawn.name for part in filled for drawn in part.figures]),
        ("tables", [table.name for part in filled for table in part.tables]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BenchError(f"two {what} are named {', '.join(twice)}; one would be written over the other")
    return filled
