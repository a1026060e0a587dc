"""``bench migrate``: what a linear map to another encoder's space keeps of encoding a memory again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from bench.cli import completion
from bench.cli.options import ENCODER_HELP, PATH, Whole, notices_alone, terminal_width, warn
from bench.device.choose import choose_device
from bench.migration.moved_pack import move_pack
from bench.migration.pairs import encoded_twice
from bench.migration.study import WAYS, Row, curve
from bench.reports.tables.console import table_lines
from bench.reports.tables.files import exact_csv
from bench.reports.tables.table import share
from bench.runner.options import split_names
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError

DEFAULT_PAIRS = (10, 30, 100, 300, 1000, 3000)


@click.command()
@click.argument("pack", shell_complete=completion.datasets)
@click.option("--to", required=True, metavar="ENCODER|PACK", help=f"{ENCODER_HELP} Or a pack of the same images.")
@click.option(
    "--pairs",
    multiple=True,
    type=Whole(2),
    help="Items encoded twice; may be repeated.  [default: 10, 30, 100, ... up to all]",
)
@click.option("--methods", default="knn,protonet", show_default=True, help="Methods that answer from the memory.")
@click.option("--seeds", default=5, show_default=True, type=Whole(1), help="Draws of the pairs.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True, help="Where to encode.")
@click.option("--out", type=PATH, help="Also write a CSV file with each answer.")
@click.option("--into", type=PATH, metavar="FOLDER", help="Do it: write the pack moved with so many --pairs; no study.")
@click.pass_context
def migrate(
    context: click.Context,
    pack: str,
    to: str,
    pairs: Sequence[int],
    methods: str,
    seeds: int,
    device: str,
    out: Path | None,
    into: Path | None,
) -> None:
    """Say what a linear map, learnt on N items encoded twice, keeps of encoding the memory of a PACK again.

    PACK is a data set's name or a pack's folder; its labelled images are the memory. Nothing is written into it. The
    strength of the map is chosen on the pairs alone, and answers are compared by query. With --into nothing is
    compared: N items and all queries are encoded, the rest of the memory is mapped, and FOLDER is a pack of them.
    """
    if into is not None:
        for name in ("methods", "seeds", "out"):
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
                raise BenchError(f"--{name} is for the study, and --into writes a pack without one; leave one out")
        _move(pack, to, pairs, device, into)
        return
    with notices_alone():
        twice = encoded_twice(pack, to, device=choose_device(device), progress=terminal_width() is not None)
    n = len(twice.items[0])
    numbers = pairs or sorted({number for number in DEFAULT_PAIRS if number < n} | {n})
    found, answers = curve(twice, numbers, methods=split_names(methods), seeds=seeds)
    click.echo(
        f"{twice.dataset}: {n} items and {len(twice.queries[0])} queries, {twice.encoders[0]} "
        f"(d = {twice.items[0].dimension}) to {twice.encoders[1]} (d = {twice.items[1].dimension}), "
        f"{seeds} draws of pairs"
    )
    heads = ["method", "pairs", "way", "accuracy %", "less all again, points", "it is", "unexplained %"]
    heads += ["encoding GFLOP", "s", "map GFLOP", "s", "MFLOP a query", "new KiB"]
    for line in table_lines(heads, [_cells(row) for row in found], left=(0, 2, 5), width=terminal_width()):
        click.echo(line)
    for way, what in WAYS.items():
        click.echo(f"{way}: {what}")
    if out is not None:
        write_atomically(out, exact_csv(answers))
        click.echo(f"{out}: each answer")


def _move(pack: str, to: str, pairs: Sequence[int], device: str, into: Path) -> None:
    if len(pairs) > 1:
        raise BenchError("--into moves a pack once; give --pairs once")
    number = pairs[0] if pairs else None
    with notices_alone():
        made = move_pack(
            pack, to, into, pairs=number, device=choose_device(device), progress=terminal_width() is not None
        )
    warn(made.warnings)
    click.echo(
        f"{made.folder}: {made.encoded} items encoded again, {made.mapped} mapped "
        f"(unexplained {100 * made.unexplained:.1f} %); use it as --data {made.folder}"
    )


def _cells(row: Row) -> list[str]:
    told = row.comparison
    return [
        row.method,
        str(row.pairs or "-"),
        row.way,
        f"{100 * row.accuracy:.1f}",
        "-" if told is None else share(told.difference.mean, told.difference.low, told.difference.high),
        "" if told is None else told.verdict,
        "-" if row.unexplained is None else f"{100 * row.unexplained:.1f}",
        "?" if row.encoding_flops is None else f"{row.encoding_flops / 1e9:.4g}",
        "?" if row.encoding_seconds is None else f"{row.encoding_seconds:.3g}",
        f"{row.map_flops / 1e9:.3g}",
        f"{row.map_seconds:.2g}",
        f"{row.query_flops / 1e6:.3g}",
        f"{row.nbytes / 1024:.0f}",
    ]
