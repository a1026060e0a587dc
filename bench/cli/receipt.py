"""``bench receipt``: whether the receipt of a removal holds."""

from __future__ import annotations

from pathlib import Path

import click

from bench.classifier import Classifier
from bench.classifier.receipt import read_receipt, verify
from bench.cli.options import PATH, notices_alone


@click.command()
@click.argument("receipt", type=PATH)
@click.argument("classifier", type=PATH)
@click.option("--before", type=PATH, help="A copy of the classifier from before the removal.")
def receipt(receipt: Path, classifier: Path, before: Path | None) -> None:
    """Check a RECEIPT of `bench edit` against a CLASSIFIER: that the items are gone, from its memory and its state.

    The state is built again from what is left, and must score the same. Whatever does not hold is one line, with exit
    status 2.
    """
    said = read_receipt(receipt)
    with notices_alone():
        after = Classifier.load(classifier).model_
        old = Classifier.load(before).model_ if before is not None else None
    for line in verify(said, after, old):
        click.echo(f"ok: {line}")
