"""``bench predict``: answers of a kept classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import torch

from bench.classifier import Classifier
from bench.classifier.answers import NONE, SHOWN, Answer, as_csv, as_json, table_rows
from bench.classifier.inputs import ARRAYS, read_features
from bench.classifier.pictures import opened
from bench.cli.options import ENCODER_HELP, Number, Whole, notices_alone, terminal_width
from bench.data.images.listing import SUFFIXES
from bench.reports.tables.console import table_lines
from bench.utils.errors import BenchError
from bench.utils.names import expand

_BLOCK = 256
"""Images that are decoded and encoded at a time."""


@click.command()
@click.argument("classifier", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option(
    "--none-below", type=Number(), help=f"Answer '{NONE}' below this confidence.  [default: as it was fitted]"
)
@click.option("--neighbours", type=Whole(0), default=SHOWN, show_default=True, help="Of each answer, at most.")
@click.option("--encoder", help=f"Where the encoder is now, if it was moved: {ENCODER_HELP}")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True, help="Where to encode.")
def predict(
    classifier: Path,
    inputs: Sequence[Path],
    form: str,
    none_below: float | None,
    neighbours: int,
    encoder: str | None,
    device: str,
) -> None:
    """Say which class each of the INPUTS shows: images, folders of images, or files of features.

    Leaves with status 2 if one of them cannot be used; the others are answered.
    """
    with notices_alone():
        asked = Classifier.load(classifier, encoder=encoder, device=device)
        files = [path for given in inputs for path in _files(expand(given))]
        names: list[str] = []
        answers: list[Answer] = []
        failed = 0
        images = [path for path in files if path.suffix.lower() not in ARRAYS]
        for start in range(0, len(images), _BLOCK):
            good, pictures = [], []
            for path in images[start : start + _BLOCK]:
                try:
                    pictures.append(opened(path))
                    good.append(str(path))
                except BenchError as error:
                    failed += 1
                    click.echo(f"bench: {error}", err=True)
            if pictures:
                names += good
                answers += asked.answer(pictures, neighbours=neighbours, reject=none_below)
        for path in files:
            if path.suffix.lower() in ARRAYS:
                rows, x = read_features(path, asked.n_features_in_)
                names += rows
                for part in torch.split(x, 8192):
                    answers += asked.answer(part, neighbours=neighbours, reject=none_below)
    if form == "json":
        click.echo(as_json(names, answers))
    elif form == "csv":
        click.echo(as_csv(names, answers))
    elif answers:
        heads, table = table_rows(names, answers)
        left = [column for column in range(len(heads)) if heads[column] != "probability"]
        click.echo("\n".join(table_lines(heads, table, left=left, width=terminal_width())))
    if failed:
        click.get_current_context().exit(2)


def _files(path: Path) -> list[Path]:
    """Return a file itself, and the images below a folder in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise BenchError(f"{path} holds no image; give images, or a folder of them")
    return found
