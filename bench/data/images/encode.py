"""Images and texts to features, through the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from bench.cache.store import FeatureCache, Space, content_key
from bench.data.images.decode import VERSION, decode, perceptual_hash
from bench.data.images.items import ImageItem, SetAside, Unusable
from bench.encoders.batching import ahead, decoding_threads, groups
from bench.encoders.encoder import Advance, Encoder

BLOCK = 1024
"""Images between two writes to the cache: what a stopped run loses at most, and what is held in memory undecoded."""


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Features of images, and what was left out.

    Attributes
    ----------
    x : Tensor [n, d]
        Unit norm.
    items : list of ImageItem
        The images that were encoded, one a row.
    content : list of str
        SHA-256 of each image's file, or the item's own key.
    perceptual : uint8 Tensor [n, 8]
        Perceptual hash of each image.
    encoded : int
        How many were computed; the others came from the cache.
    """

    x: Tensor
    items: list[ImageItem]
    content: list[str]
    perceptual: Tensor
    set_aside: list[SetAside]
    encoded: int


@dataclass(frozen=True, eq=False)
class _Read:
    item: ImageItem
    data: bytes | None
    key: str


def encode_source(
    encoder: Encoder,
    items: Sequence[ImageItem],
    *,
    cache: FeatureCache | None,
    batch: int = 64,
    workers: int | None = None,
    progress: bool = False,
) -> EncodedImages:
    """Return the features of images, in their order; an image that cannot be used is set aside with the reason.

    Parameters
    ----------
    cache : FeatureCache or None
        Features found there are not computed again; new ones are added every :data:`BLOCK` images.
    batch : int
        Images a forward pass; see :meth:`bench.encoders.Encoder.encode_images`.
    workers : int, optional
        Threads that read, decode and resize while the model computes; 0 for none. Left out, the device decides; see
        :func:`bench.encoders.batching.decoding_threads`. Their number changes no feature.
    """
    workers = decoding_threads(encoder.device, workers)
    space = image_space(cache, encoder) if cache else None
    kept: list[ImageItem] = []
    content: list[str] = []
    parts: list[dict[str, Tensor]] = []
    aside: list[SetAside] = []
    computed = 0
    with tqdm(total=len(items), unit="image", desc=encoder.name, disable=not progress) as bar:
        for block in groups(items, BLOCK):
            reads: list[_Read] = []
            for read in ahead(_read, block, workers=workers, depth=32 * max(1, workers)):
                aside.append(read) if isinstance(read, SetAside) else reads.append(read)
            before = bar.n
            rows, failed, new = _block(encoder, space, reads, batch, workers, bar.update)
            aside += failed
            bad = {failure.id for failure in failed}
            good = [read for read in reads if read.item.id not in bad]
            kept += [read.item for read in good]
            content += [read.key for read in good]
            if good:
                parts.append(rows)
            computed += new
            # What came from the cache or was set aside has not been counted by the encoder.
            bar.update(len(block) - (bar.n - before))
    return EncodedImages(
        x=torch.cat([p["x"] for p in parts]) if parts else torch.zeros(0, 0, dtype=encoder.dtype),
        items=kept,
        content=content,
        perceptual=torch.cat([p["perceptual"] for p in parts]) if parts else torch.zeros(0, 8, dtype=torch.uint8),
        set_aside=aside,
        encoded=computed,
    )


def image_space(cache: FeatureCache, encoder: Encoder) -> Space:
    """Return where the features of images by an encoder are cached: its own description, and how files are decoded."""
    return cache.space("image", {**encoder.space, "decode": VERSION}, encoder=encoder.name)


def _read(item: ImageItem) -> _Read | SetAside:
    if item.key is not None:
        return _Read(item, None, item.key)
    try:
        data = item.read()
    except Unusable as reason:
        return SetAside(item.id, str(reason))
    return _Read(item, data, content_key(data))


def _block(
    encoder: Encoder, space: Space | None, reads: Sequence[_Read], batch: int, workers: int, advance: Advance
) -> tuple[dict[str, Tensor], list[SetAside], int]:
    """Return the rows of one block's usable images, those set aside, and how many were computed."""
    keys = [read.key for read in reads]
    found, stored = space.read(keys) if space is not None else (np.zeros(len(keys), dtype=bool), {})
    # Two files with the same bytes are encoded once.
    missing = {read.key: read for read, there in zip(reads, found.tolist(), strict=True) if not there}
    hashes: list[Tensor] = []
    done: list[str] = []
    reasons: dict[str, str] = {}

    def pixels() -> Iterator[Tensor]:
        prepare = lambda read: _prepare(encoder, read)  # noqa: E731 - it binds the encoder
        for ready in ahead(prepare, missing.values(), workers=workers, depth=2 * batch):
            if isinstance(ready, SetAside):
                reasons[ready.id] = ready.reason
                continue
            key, image, hashed = ready
            done.append(key)
            hashes.append(torch.from_numpy(hashed))
            yield image

    x = encoder.encode_pixels(pixels(), batch=batch, advance=advance)
    new = {"x": x, "perceptual": torch.stack(hashes)} if done else {}
    if space is not None and done:
        space.add(done, new)
    place = {key: row for row, key in enumerate(done)}
    at = np.cumsum(found) - 1  # the row among the stored ones
    offset = int(found.sum())
    rows = [int(at[i]) if found[i] else offset + place[key] for i, key in enumerate(keys) if found[i] or key in place]
    sources = [part for part in (stored, new) if part]
    joined = {name: torch.cat([part[name] for part in sources])[rows] for name in ("x", "perceptual") if sources}
    failed = [SetAside(read.item.id, reasons[read.key]) for read in reads if read.key in reasons]
    return joined, failed, len(done)


def _prepare(encoder: Encoder, read: _Read) -> tuple[str, Tensor, np.ndarray] | SetAside:
    try:
        image = decode(read.item.read() if read.data is None else read.data)
        return read.key, encoder.transform(image), perceptual_hash(image)
    except Unusable as reason:
        return SetAside(read.key, str(reason))
    except Exception as error:  # a transform may fail on an image of a strange mode or shape
        return SetAside(read.key, f"cannot be prepared: {' '.join(str(error).split())}")


def encode_texts(encoder: Encoder, texts: Sequence[str], *, cache: FeatureCache | None) -> tuple[Tensor, Tensor]:
    """Return unit-norm features of texts [n, d], and which were truncated, bool [n]."""
    space = cache.space("text", encoder.space, encoder=encoder.name) if cache else None
    keys = [content_key(text) for text in texts]
    found, stored = space.read(keys) if space is not None else (np.zeros(len(keys), dtype=bool), {})
    missing = {key: text for key, text, there in zip(keys, texts, found.tolist(), strict=True) if not there}
    new = encoder.encode_texts(list(missing.values()))
    if space is not None and missing:
        space.add(list(missing), {"x": new.x})
    place = {key: row for row, key in enumerate(missing)}
    at, offset = np.cumsum(found) - 1, int(found.sum())
    rows = [int(at[i]) if found[i] else offset + place[key] for i, key in enumerate(keys)]
    x = (
        torch.cat([part for part in (stored.get("x"), new.x if missing else None) if part is not None])
        if keys
        else new.x
    )
    truncated = torch.tensor([encoder.token_count(text) > encoder.context_length for text in texts], dtype=torch.bool)
    return x[rows] if keys else x, truncated
