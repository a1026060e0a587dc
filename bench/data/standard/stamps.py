"""Tux Paint's stamps: cut-out photographs with a sentence each, as a package of Debian installs them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from bench.data.images.decode import decode
from bench.data.images.items import Caption, ImageItem, Unusable, read_file
from bench.data.standard.layout import RawDataset
from bench.utils.errors import BenchError
from bench.utils.random import Stream


def stamps(root: Path, *, classes: Mapping[str, Sequence[str]], without: Sequence[str]) -> RawDataset:
    """Read stamps: PNG files with transparency, each beside a text file whose first line says what it shows.

    Half of each class, drawn by a fixed seed, is the training split, whose captions are text memory. Pictures are put
    on white, since a stamp's transparent pixels have any colour.

    Parameters
    ----------
    classes : mapping of str to sequence of str
        Folders of each class; those in them belong to it too.
    without : sequence of str
        Names of folders, and ends of file names, that are left out: drawings, and pictures mirrored.
    """
    items, captions = [], []
    for name, folders in classes.items():
        found = [path for folder in folders for path in sorted((root / folder).rglob("*.png"))]
        kept = [path for path in found if not _left_out(path, root, without)]
        if len(kept) < 2:
            raise BenchError(f"{root}: class {name!r} has {len(kept)} pictures; install the whole package")
        order = Stream(0).child("stamps", name).permutation(len(kept)).tolist()
        train = set(order[: len(kept) // 2])
        for row, path in enumerate(kept):
            split = "train" if row in train else "test"
            place = path.relative_to(root).as_posix()
            items.append(ImageItem(place, name, partial(_on_white, path), split))
            said = _sentence(path)
            if said and row in train:
                captions.append(Caption(name, said, f"{place}/sentence"))
    return RawDataset(items, list(classes), captions=captions)


def _left_out(path: Path, root: Path, without: Sequence[str]) -> bool:
    parts = path.relative_to(root).parts
    return any(word in parts or path.stem.endswith(word) for word in without)


def _sentence(path: Path) -> str:
    """Return the first line of the text beside a stamp, in English; empty if there is none."""
    try:
        text = path.with_suffix(".txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[0].strip()


def _on_white(path: Path) -> bytes:
    image = decode(read_file(path)).convert("RGBA")
    if not image.width or not image.height:
        raise Unusable("an image without pixels")
    white = Image.new("RGBA", image.size, "white")
    sink = io.BytesIO()
    # Stored without compression: it is read once, to be encoded.
    Image.alpha_composite(white, image).convert("RGB").save(sink, "PNG", compress_level=0)
    return sink.getvalue()
