"""``python -m tools.gpu``, which ``make gpu`` calls: measures a card and writes the report."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from bench.utils.errors import BenchError, suggest
from tools.gpu.alone import perform_alone
from tools.gpu.card import Card
from tools.gpu.page import check, put, report
from tools.gpu.running import Outcome, run_sections
from tools.gpu.section import Section
from tools.gpu.sections import SECTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gpu.md"
"""Where the last whole result on a card stands."""
_MEASURING = 0.98
"""Part of the minutes that the sections share; the rest is for what comes before and after them."""


@click.command(name="gpu")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=8.0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=PAGE, help="Page to write.  [default: docs/gpu.md]")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", help="cpu tries the command out.")
@click.option("--sections", default="", help=f"Some of {', '.join(s.name for s in SECTIONS)}.  [default: all]")
def main(minutes: float, out: Path, device: str, sections: str) -> None:
    """Check and measure the harness on a GPU, and write what was found into a page.

    Leaves with 0 if every section passed, 1 if one failed or was not run, 2 if nothing could be begun.
    """
    try:
        chosen = choose(sections)
        prepare(device, out, whole=len(chosen) == len(SECTIONS))
        card = Card.of(device)
        click.echo(
            f"{card.name}, driver {card.driver}, torch {card.torch}: {len(chosen)} sections, {minutes:g} minutes"
        )
        outcomes = run_sections(chosen, device, seconds=60 * minutes * _MEASURING, perform=perform_alone, told=tell)
        content = report(card, outcomes, minutes)
        click.echo("\n" + content)
        put(out, content)
    except BenchError as error:
        click.echo(f"gpu: {error}", err=True)
        sys.exit(2)
    click.echo(f"written to {out}")
    sys.exit(int(any(outcome.state != "passed" for outcome in outcomes)))


def choose(names: str) -> Sequence[Section]:
    """Return the sections of some names, separated by commas; all for none."""
    known = {section.name: section for section in SECTIONS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise BenchError(f"unknown section {name!r}{suggest(name, known)}")
    return [section for section in SECTIONS if section.name in wanted or not wanted]


def prepare(device: str, out: Path, *, whole: bool) -> None:
    """Raise :class:`BenchError` for what would be found out too late."""
    # torch says by a warning what is amiss, such as a driver that is too old.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        there = device == "cpu" or torch.cuda.is_available()
    if not there:
        why = f" ({' '.join(str(said[-1].message).split())})" if said else ""
        raise BenchError(
            f"torch sees no CUDA device{why}; run this on a machine with a GPU, with a driver that is new enough and a "
            f"torch that is built for CUDA (this is {torch.__version__})"
        )
    if out.resolve() == PAGE and (device == "cpu" or not whole):
        raise BenchError("docs/gpu.md holds whole results of a GPU; give --out FILE for this one")
    check(out)


def tell(outcome: Outcome) -> None:
    """Say how a section went, in one line."""
    click.echo(
        f"{outcome.section.name:11}{outcome.state:8}{outcome.seconds:7.1f} s"
        + (f"  {outcome.reason}" if outcome.reason else "")
    )


if __name__ == "__main__":
    main()
