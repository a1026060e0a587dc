"""Builds a report: one analysis of the runs, section by section, written as a page, tables, figures and numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.reports.analysis import Analysis, Choices
from bench.reports.figures.drawing import draw_all, early
from bench.reports.figures.registry import FIGURES
from bench.reports.figures.style import Format, unshown
from bench.reports.page import html, terminal
from bench.reports.page.report_folder import publish, unfinished
from bench.reports.sections.sections import Part, parts, tables
from bench.reports.tables.files import csv_bytes
from bench.reports.tables.latex import latex
from bench.reports.tables.markdown import markdown, words
from bench.utils.errors import BenchError, suggest
from bench.utils.names import shown

_SOON = 2.0
"""Seconds after which a reader is given the page without its figures, while these are drawn."""
_EARLY = "the figures were still being drawn when this page was written; open it again, or make the report again"


def build(
    folders: Sequence[Path],
    out: Path,
    *,
    galleries: int = 0,
    width: int | None = None,
    choices: Choices = Choices(),  # noqa: B008  # frozen
    processes: int = 1,
    formats: Sequence[Format] = ("svg",),
) -> str:
    """Write the report on some runs into a folder and return the table for the terminal.

    Where figures would be waited for, the page is there without them before; if they fail, the folder is what it was.
    The files depend on the records alone,
    not on their order nor on the folders they lie in. Files of an earlier
    report in the same folder that this one does not have are removed.

    Parameters
    ----------
    folders : sequence of Path
        Runs, or folders of runs.
    out : Path
        The report's folder.
    galleries : int
        How many queries of each data set and condition are shown with what they were answered from. Any number above
        0 makes the states of two methods again.
    width : int, optional
        Columns of the terminal that the returned text wraps at; without it, no line is wrapped.
    choices : Choices
        Which comparisons are made, and for which population intervals speak.
    processes : int
        How many draw figures; beyond one the others are forked from this one, which should have no threads then.
    formats : sequence of str
        Which files of each figure are written; the page has it as SVG in any case.

    Raises
    ------
    BenchError
        If there is nothing to report, no method is called as the baseline, a file is damaged or of a newer schema, a
        plug-in's metric or figure fails, or ``out`` cannot be written.
    """
    start = time.monotonic()
    analysis = Analysis.of(folders, galleries, choices)
    # One that was skipped or failed everywhere is said beside the report of the rest.
    asked = {*analysis.methods, *analysis.run_table.unanswered["method"].astype("str")}
    if choices.baseline is not None and not asked & {choices.baseline, str(analysis.baseline)}:
        known = suggest(choices.baseline, analysis.methods)
        raise BenchError(f"--baseline {shown(choices.baseline)} is no method of these runs{known}")
    # The other processes draw what they can while this one computes.
    with early(analysis, processes, formats) as begun, ExitStack() as stack:
        beside = tables(analysis)
        warnings = [*FIGURES.warnings, *analysis.warnings]
        said = [*warnings, *analysis.detailed[1]]
        if time.monotonic() - start > _SOON:
            without = parts(beside, {})
            page = html.render(analysis, without, [*said, _EARLY]).encode()
            stack.enter_context(unfinished(out, {**_all_files(without), "report.html": page}))
        sections = parts(beside, draw_all(analysis, processes, formats, begun))
        notes = [*(note for part in sections for note in part.notes), *_without_glyphs(analysis, formats)]
        files = _all_files(sections, formats)
        files["report.md"] = _markdown(sections, warnings, notes).encode()
        files["report.html"] = html.render(analysis, sections, [*said, *notes]).encode()
        publish(out, files)
    n_figures = sum(len(part.figures) for part in sections)
    return terminal.text(analysis.means, warnings, out, n_figures, width)


def _all_files(sections: Sequence[Part], formats: Sequence[Format] = ()) -> dict[str, bytes]:
    """Return the files of sections by name."""
    return {name: content for part in sections for name, content in _files(part, formats).items()}


def _files(part: Part, formats: Sequence[Format]) -> dict[str, bytes]:
    """Return a section's files by name: numbers, LaTeX tables, figures."""
    files: dict[str, bytes] = {}
    for data in part.data:
        files |= data.files()
    for table in part.tables:
        files[f"tables/{table.name}.tex"] = latex(table).encode()
    for drawn in part.figures:
        name = f"figures/{drawn.name}"
        files[f"{name}.csv"] = csv_bytes(drawn.data)
        files |= {f"{name}.{kind}": drawn.file(kind) for kind in formats}
    return files


def _without_glyphs(analysis: Analysis, formats: Sequence[Format]) -> Iterator[str]:
    """Yield a note if names have characters that the font of figures lacks, which all but SVG are drawn with."""
    without = " and ".join(kind.upper() for kind in formats if kind != "svg")
    if not without:
        return
    classes = (name for names in analysis.class_names.values() for name in names)
    lacking = unshown([*analysis.methods, *map(str, analysis.records["dataset"].unique()), *classes])
    if lacking:
        yield (
            f"figures as {without} show a box for each of {len(lacking)} characters that their font, DejaVu Sans, "
            f"lacks ({lacking[:20]}); this page and the SVG files show them in a font of the reader's machine"
        )


def _markdown(sections: Sequence[Part], warnings: Sequence[str], notes: Sequence[str]) -> str:
    head = ["# Report", "", *(f"- **Warning:** {words(warning)}" for warning in warnings), ""]
    tables = [markdown(table) for part in sections for table in part.tables]
    said = [words(sentence) for part in sections for sentence in part.sentences]
    head = ["# Report", "", *(line for sentence in said for line in (sentence, "")), *head[2:]]
    return "\n".join([*head, *tables, *(f"- {words(note)}" for note in notes)]) + "\n"
