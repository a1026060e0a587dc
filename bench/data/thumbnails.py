"""Thumbnails of a data set's items, for explanations; a data set of features alone has none."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

from bench.core.dataset import Dataset
from bench.data.images.decode import decode
from bench.data.images.items import Unusable
from bench.data.images.open import open_source
from bench.utils.whole_numbers import whole_number

Show = Callable[[str], bytes | None]
"""Takes an item's id; returns a PNG no larger than :data:`SIDE`, or None if there is no picture of it."""

SIDE = 96
"""Pixels of the longer side."""


def thumbnails(dataset: Dataset, folder: Path | None = None) -> Show:
    """Return what shows the items of a data set.

    Parameters
    ----------
    dataset : Dataset
        Bundled ones draw their images again.
    folder : Path, optional
        Where the images lie, for a feature pack made from them: an id is the path below it.
    """
    read: dict[str, Callable[[], bytes]] = {}
    if folder is not None:
        read = {item.id: item.read for item in open_source(folder).items}
    elif dataset.pictures is not None:
        read = dict(dataset.pictures.read)
    elif dataset.name == "digits":
        return _digit

    def show(item: str) -> bytes | None:
        # Memory items that a pack declares from a split are named SPLIT:ID or PACK:SPLIT:ID.
        found = read.get(item) or read.get(item.rsplit(":", 1)[-1])
        try:
            return thumbnail(found()) if found else None
        except Unusable:
            return None

    return show


def thumbnail(content: bytes) -> bytes | None:
    """Return an image file's content as a small PNG; None if it cannot be decoded.

    It shows what the encoder is given: decoded by the same function, with the same limits.
    """
    try:
        image = decode(content)
    except Unusable:
        return None
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    sink = io.BytesIO()
    small.save(sink, format="PNG")
    return sink.getvalue()


@cache
def _digits() -> list[bytes]:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    made = []
    for pixels in load_digits().images:
        sink = io.BytesIO()
        image = Image.fromarray(np.uint8(255 - pixels * 15.9)).resize((48, 48), Image.Resampling.NEAREST)
        image.save(sink, format="PNG")
        made.append(sink.getvalue())
    return made


def _digit(item: str) -> bytes | None:
    number = whole_number(item.removeprefix("digit/"))
    return _digits()[number] if number is not None and number < len(_digits()) else None
