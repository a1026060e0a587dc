"""``bench table``: a paper's table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import PATH, warn
from bench.reports.analysis import Analysis
from bench.reports.paper.forms import paper_csv, paper_latex, paper_markdown
from bench.reports.paper.table import paper_table
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError

_FORMS = {"latex": paper_latex, "markdown": paper_markdown, "csv": paper_csv}
_ENDINGS = {".tex": "latex", ".md": "markdown", ".csv": "csv"}


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, type=PATH)
@click.option("--metric", default="accuracy", show_default=True, help="One of `bench list metrics`.")
@click.option(
    "--spread",
    type=click.Choice(["interval", "sd", "none"]),
    default="interval",
    show_default=True,
    help="Beside each mean: its 95 % interval, the standard deviation over seeds, or nothing.",
)
@click.option("--methods", default="", help="Those shown, in this order, separated by commas.  [default: all]")
@click.option("--datasets", default="", help="Those shown, in this order, separated by commas.  [default: all]")
@click.option("--format", "form", type=click.Choice([*_FORMS]), help="[default: by --out, else markdown]")
@click.option(
    "--out", type=PATH, multiple=True, help="File .tex, .md or .csv instead of the terminal; may be repeated."
)
def table(
    folders: Sequence[Path],
    metric: str,
    spread: str,
    methods: str,
    datasets: str,
    form: str | None,
    out: Sequence[Path],
) -> None:
    """Write a paper's table: methods by data sets, a block for each condition, of one metric.

    Each RUN is a run or a folder of runs; without any, the folder `runs`.
    """
    written = {path: _form(path, form) for path in out}
    analysis = Analysis.of(list(folders) or [Path("runs")])
    made = paper_table(
        analysis,
        metric=metric,
        spread=spread,  # type: ignore[arg-type]
        methods=_names(methods),
        datasets=_names(datasets),
    )
    warn(analysis.warnings)
    for path, kind in written.items():
        write_atomically(path, _FORMS[kind](made))
        click.echo(f"{path}: {len(made.methods)} methods by {len(made.datasets)} data sets")
    if not written:
        click.echo(_FORMS[form or "markdown"](made), nl=False)


def _names(text: str) -> list[str]:
    """Return names that are joined by commas; those within brackets belong to a method's parameters."""
    names, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            names.append("")
        else:
            names[-1] += letter
    return [name.strip() for name in names if name.strip()]


def _form(path: Path, form: str | None) -> str:
    if form is not None:
        return form
    if path.suffix not in _ENDINGS:
        raise BenchError(f"{path} ends with none of {', '.join(_ENDINGS)}; name it so, or say --format")
    return _ENDINGS[path.suffix]
