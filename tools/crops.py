"""A folder of class folders with as many JPEG photographs as are wanted, cut from those of a smaller source.

``python -m tools.crops SOURCE OUT --count 500`` cuts from each image of SOURCE, in turn, a part of 70 to 100 % of its
sides, mirrored half of the time, enlarged so that the shorter side has 375 pixels, on white. So many photographs serve
to time what is done with them; crops of one image are alike, so accuracies on them say nothing.
"""

from __future__ import annotations

from itertools import count as numbers
from pathlib import Path

import click
from PIL import Image, ImageOps

from bench.data.images import ImageSource, open_source
from bench.data.images.decode import decode
from bench.data.standard import declarations, prepare
from bench.utils.random import Stream

SIDE = 375


@click.command()
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--count", default=500, show_default=True, help="Photographs in all.")
def main(source: str, out: Path, count: int) -> None:
    items = opened(source).items
    rng = Stream(0).child("crops").numpy()
    for number, item in zip(range(count), (items[n % len(items)] for n in numbers()), strict=False):
        image = decode(item.read()).convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        width, height = (max(1, round(side * rng.uniform(0.7, 1.0))) for side in image.size)
        left, top = rng.integers(0, image.width - width + 1), rng.integers(0, image.height - height + 1)
        part = image.crop((left, top, left + width, top + height))
        scale = SIDE / min(part.size)
        part = part.resize((round(part.width * scale), round(part.height * scale)), Image.Resampling.BICUBIC)
        folder = out / item.class_name
        folder.mkdir(parents=True, exist_ok=True)
        (ImageOps.mirror(part) if rng.random() < 0.5 else part).save(folder / f"{number:05}.jpg", quality=90)
    click.echo(f"{out}: {count} photographs in {len(list(out.iterdir()))} classes")


def opened(source: str) -> ImageSource:
    """Return a source of images by its path, or ``NAME:FOLDER`` of a standard data set."""
    name, _, root = source.partition(":")
    return prepare(name, Path(root)).source if name in declarations() else open_source(Path(source))


if __name__ == "__main__":
    main()
