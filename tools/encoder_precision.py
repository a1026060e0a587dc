"""How near the features of half precision come to those of float32, and what they cost: one line a precision.

``python -m tools.encoder_precision FOLDER --encoder NAME`` reads the images of any source that ``bench data encode``
takes. Seconds are of the processor, over tensors that are ready, so that decoding is not in them.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import torch

from bench.data.images import open_source
from bench.data.images.decode import decode
from bench.encoders import load_encoder
from bench.functional.classwise import normalise


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--encoder", required=True)
@click.option("--count", default=64, show_default=True, help="Images, spread over the source.")
@click.option("--precision", "precisions", multiple=True, type=click.Choice(["bf16", "fp16"]))
def main(source: Path, encoder: str, count: int, precisions: tuple[str, ...]) -> None:
    items = open_source(source).items
    chosen = items[:: max(1, len(items) // count)][:count]
    full = load_encoder(encoder)
    pixels = [full.transform(decode(item.read())) for item in chosen]
    exact = None
    for precision in ("fp32", *(precisions or ("bf16",))):
        coder = full if precision == "fp32" else load_encoder(encoder, precision=precision)  # type: ignore[arg-type]
        before = time.process_time()
        found = normalise(coder.encode_pixels(pixels).float())
        seconds = (time.process_time() - before) / len(pixels)
        exact = found if exact is None else exact
        nearest = torch.equal((found @ exact.T).argmax(1), torch.arange(len(found)))
        cosine = float((found * exact).sum(1).min())
        said = "each" if nearest else "not each"
        click.echo(
            f"{precision}: {1000 * seconds:.1f} ms an image, cosine to fp32 at least {cosine:.5f}, "
            f"{said} image nearest to itself"
        )


if __name__ == "__main__":
    main()
