"""``bench fit``: a classifier that is kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench.classifier import Classifier
from bench.classifier.answers import NONE
from bench.classifier.calibration import SHARE
from bench.classifier.wilson import wilson
from bench.cli import completion
from bench.cli.options import ENCODER_HELP, Number, notices_alone, warn
from bench.runner.options import LARGEST_SEED
from bench.utils.names import printable


@click.command()
@click.option("--method", required=True, shell_complete=completion.methods, help="Method; knn:k=64 sets a parameter.")
@click.option("--data", required=True, shell_complete=completion.datasets, help="Folder of images, or a data set.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the classifier.")
@click.option("--encoder", help=ENCODER_HELP)
@click.option("--memory", multiple=True, metavar="DATA", help="Items to retrieve from too; may be repeated.")
@click.option("--texts", type=click.Path(path_type=Path), help="JSON of sentences by class, as text memory.")
@click.option("--train", metavar="DATA", help="Other classes, for methods that train on seen classes.")
@click.option(
    "--none-below", type=Number(), default=0.0, help=f"Answer '{NONE}' below this confidence.  [default: never]"
)
@click.option("--hold-out", type=Number(), default=SHARE, show_default=True, help="Share of images that calibrates.")
@click.option("--without-items", is_flag=True, help="Keep no items: a smaller folder that cannot be edited.")
@click.option("--licence", default="unknown", help="Of the images, for the card.")
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="Of all draws.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True, help="Where to compute.")
@click.option("--onnx", is_flag=True, help="Also write the scoring as model.onnx; needs the extra `onnx`.")
def fit(
    method: str,
    data: str,
    out: Path,
    encoder: str | None,
    memory: Sequence[str],
    texts: Path | None,
    train: str | None,
    none_below: float,
    hold_out: float,
    without_items: bool,
    licence: str,
    seed: int,
    device: str,
    onnx: bool,
) -> None:
    """Fit a classifier and keep it in a folder, with its card; `bench predict` asks it."""
    with notices_alone():
        made = Classifier(
            method,
            encoder=encoder,
            seed=seed,
            reject=none_below,
            hold_out=hold_out,
            keep_items=not without_items,
            device=device,
        )
        made.require_free(out)
        made.fit(data, memory=memory, texts=texts, train=train, licence=licence, progress=sys.stderr.isatty())
    for item in made.set_aside_[:5]:
        click.echo(printable(f"set aside {item.id}: {item.reason}"), err=True)
    if len(made.set_aside_) > 5:
        warn([f"{len(made.set_aside_)} files were set aside in all"])
    made.save(out, onnx=onnx)
    click.echo(summary(made, out))


def summary(made: Classifier, out: Path) -> str:
    """Return what was fitted and how good it was found, in a few lines."""
    counted = made.measured_
    lines = [f"{out}: {made.label_} over {len(made.classes_)} classes, fitted to {counted['fitted_to']} items"]
    for what in ("queries", "held-out images"):
        if what in counted:
            right, total = counted[what]
            low, high = wilson(right, total)
            lines.append(f"right on {right} of {total} {what}: {right / total:.1%}, 95 % [{low:.1%}, {high:.1%}]")
    if len(lines) == 1:
        lines.append("nothing to measure it on, and probabilities are not calibrated: no class has an image to spare")
    target = "IMAGE..." if counted["images"] else "FEATURES.npy"
    return "\n".join([*lines, f"ask it: bench predict {out} {target}"])
