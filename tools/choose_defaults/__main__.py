"""``python -m tools.choose_defaults``: tries the candidates and writes docs/selection.md."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError
from tools.choose_defaults.measure import best, measure
from tools.choose_defaults.page import block, put, written
from tools.choose_defaults.protocol import candidates, names, protocol

PAGE = Path(__file__).resolve().parents[2] / "docs" / "selection.md"


@click.command(name="choose_defaults")
@click.option("--methods", default="", help="Some of the methods that have candidates.  [default: all]")
@click.option(
    "--out", type=click.Path(path_type=Path), default=PAGE, help="Page to write.  [default: docs/selection.md]"
)
@click.option("--runs", type=click.Path(path_type=Path), help="Keep runs there, and take what is there already.")
def main(methods: str, out: Path, runs: Path | None) -> None:
    """Try every candidate of every method on the data sets of the protocol, and write which are best."""
    try:
        of = protocol()
        wanted = [name.strip() for name in methods.split(",") if name.strip()] or names()
        every = {name: candidates(name, of) for name in wanted}
        for name, one in every.items():
            start = time.process_time()
            tried = measure(name, one, of, runs)
            # Written after each method, so that what was measured is not lost.
            page = out.read_text(encoding="utf-8") if out.exists() else ""
            write_atomically(out, put(page, of, {name: block(name, one, tried)}).encode())
            winner = tried[best(tried)]
            click.echo(
                f"{name}: {written(winner.values)} ({winner.mean:.2f} %, "
                f"worst {min(t.mean for t in tried):.2f} %), {time.process_time() - start:.0f} s of the processor"
            )
    except BenchError as error:
        click.echo(f"choose_defaults: {error}", err=True)
        sys.exit(2)
    click.echo(f"written to {out}")


if __name__ == "__main__":
    main()
