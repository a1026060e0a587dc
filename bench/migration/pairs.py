"""Items and queries of one data set in the spaces of two encoders."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.cache import FeatureCache, cache_root
from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.data.image_hashes import Pixels, read_pixels
from bench.data.images.encode import encode_source
from bench.data.images.items import ImageItem
from bench.data.names import packs
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.encoders.encoder import Encoder
from bench.encoders.load import load_encoder
from bench.utils.errors import BenchError
from bench.utils.names import expand


@dataclass(frozen=True, eq=False)
class EncodedTwice:
    """The same images by two encoders, in the same order.

    Attributes
    ----------
    dataset : str
    encoders : tuple of str
        The old one and the new one.
    items : tuple of Features
        The memory: labelled images, [n, a] and [n, b].
    queries : tuple of Features
        [q, a] and [q, b].
    flops : int or None
        What the new encoder computes for an image; None if unknown.
    seconds : float or None
        What an image took here, reading included; None if features were there already.
    """

    dataset: str
    encoders: tuple[str, str]
    items: tuple[Features, Features]
    queries: tuple[Features, Features]
    flops: int | None
    seconds: float | None


def encoded_twice(
    data: str | Path | Dataset, to: str | Path | Dataset, *, device: str = "cpu", progress: bool = False
) -> EncodedTwice:
    """Return the labelled images and queries of a data set in the spaces of its own encoder and of another.

    Parameters
    ----------
    data
        A data set by name, folder or as an object. Its memory is its support or, without one, its image memory.
    to
        A pack (or data set) of the same images, or an encoder, which then encodes them.

    Raises
    ------
    BenchError
        If the images are not at hand, or are not the same.
    """
    old = resolve(data)
    items, queries = memory_of(old), old.role("query")
    if not len(items) or not len(queries):
        raise BenchError(f"{old.name} has no labelled images and queries to compare with; name another data set")
    if names_encoder(to):
        return _encoded(old, items, queries, str(to), device, progress)
    new = resolve(to)
    refuse_one_space(old.name, old.card.space, new.card.space)
    of_files = pixels(data), pixels(to)
    found = [
        aligned(ours, theirs, old.name, new.name, of_files, whole=True)
        for ours, theirs in ((items, memory_of(new)), (queries, new.role("query")))
    ]
    return EncodedTwice(
        dataset=old.name,
        encoders=(old.card.encoder, new.card.encoder),
        items=(items, found[0]),
        queries=(queries, found[1]),
        flops=new.card.encoder_flops,
        seconds=None,
    )


def names_encoder(to: str | Path | Dataset) -> bool:
    """Return whether what to move to is an encoder, and no pack or data set."""
    return not isinstance(to, Dataset) and not (expand(Path(to)) / MANIFEST).is_file() and str(to) not in packs()


def memory_of(dataset: Dataset) -> Features:
    """Return the labelled images that stand for a data set's memory."""
    support, images = dataset.role("support"), dataset.memory.images
    return support if len(support) else Features(images.x, images.labels, images.ids, dataset.class_names)


def refuse_one_space(name: str, one: str, other: str) -> None:
    """Raise :class:`BenchError` where there is nothing to move, since both are the same."""
    if one and one == other:
        raise BenchError(f"{name} is in the space of that encoder already ({one}); name another")


def _encoded(old: Dataset, items: Features, queries: Features, spec: str, device: str, progress: bool) -> EncodedTwice:
    """Return the images encoded by another encoder, through the cache."""
    again = encode_again(old, (items, queries), spec, device=device, progress=progress)
    new_items, new_queries = again.parts
    return EncodedTwice(
        dataset=old.name,
        encoders=(old.card.encoder, spec),
        items=(items, new_items),
        queries=(queries, new_queries),
        flops=again.encoder.flops,
        seconds=again.seconds,
    )


@dataclass(frozen=True, eq=False)
class Again:
    """Images in the space of another encoder.

    Attributes
    ----------
    parts : tuple of Features
        The same rows as were asked for.
    seconds : float or None
        What an image took; None where some came from the cache.
    """

    encoder: Encoder
    parts: tuple[Features, ...]
    seconds: float | None


def encode_again(
    old: Dataset, parts: Sequence[Features], spec: str, *, device: str = "cpu", progress: bool = False
) -> Again:
    """Return some images of a data set as another encoder makes them, through the cache.

    Raises
    ------
    BenchError
        If an image is not at hand or cannot be used, and for the encoder that the data set has already.
    """
    read: Mapping[str, Callable[[], bytes]] = old.pictures.read if old.pictures is not None else {}
    every = np.concatenate([part.ids for part in parts]).tolist()
    lost = [name for name in every if name not in read]
    if lost:
        raise BenchError(
            f"{old.name} has features only ({lost[0]} has no image), so {spec} cannot encode it; say where the images "
            "are by `images:` in its pack.yaml, or give --to a pack of the same images in its space"
        )
    refuse_one_space(old.name, old.card.encoder, spec)
    encoder = load_encoder(spec, device=device)
    names = np.asarray(old.class_names)
    labels = torch.cat([part.labels for part in parts]).cpu().numpy()
    source = [
        ImageItem(name, str(names[label]), partial(_bytes, read, name))
        for name, label in zip(every, labels, strict=True)
    ]
    start = time.perf_counter()
    made = encode_source(encoder, source, cache=FeatureCache(cache_root()), workers=1, progress=progress)
    took = time.perf_counter() - start
    if made.set_aside:
        first = made.set_aside[0]
        raise BenchError(f"{old.name}: {first.id} cannot be encoded again ({first.reason}); mend or remove it")
    rows = made.x.split([len(part) for part in parts])
    new = tuple(replace(part, x=x.clone()) for part, x in zip(parts, rows, strict=True))
    # What came from the cache took no time worth a number.
    return Again(encoder, new, took / made.encoded if made.encoded == len(every) else None)


def _bytes(read: Mapping[str, Callable[[], bytes]], name: str) -> bytes:
    return read[name]()


def pixels(data: str | Path | Dataset) -> Pixels:
    """Return the hashes of the files behind a pack; none of anything else."""
    if isinstance(data, Dataset):
        return Pixels({}, {})
    folder = expand(Path(data))
    if not (folder / MANIFEST).is_file():
        pack = packs().get(str(data))
        if pack is None or pack.folder is None:
            return Pixels({}, {})
        folder = pack.folder
    return read_pixels(folder)


def aligned(
    ours: Features, theirs: Features, one: str, other: str, hashes: tuple[Pixels, Pixels], *, whole: bool = False
) -> Features:
    """Return the other encoder's rows in our order; images that are not the same are refused.

    Parameters
    ----------
    hashes
        Of the files behind both, as :func:`pixels` tells them.
    whole : bool
        Whether there may be no others.
    """
    place = {name: row for row, name in enumerate(theirs.ids.tolist())}
    lost = [name for name in ours.ids.tolist() if name not in place]
    if lost or (whole and len(theirs) != len(ours)):
        odd = lost[0] if lost else sorted(set(place) - set(ours.ids.tolist()))[0]
        raise BenchError(
            f"{one} and {other} are not of the same images ({len(ours)} and {len(theirs)}, and {odd} is in one of them "
            "only); encode the same images with both encoders"
        )
    found = theirs.take([place[name] for name in ours.ids.tolist()])
    names = (
        np.asarray(ours.class_names)[ours.labels.cpu().numpy()],
        np.asarray(found.class_names)[found.labels.cpu().numpy()],
    )
    differ = (names[0] != names[1]).nonzero()[0].tolist()
    differ = differ or [
        row
        for row, name in enumerate(ours.ids.tolist())
        if all(name in known.content for known in hashes) and hashes[0].content[name] != hashes[1].content[name]
    ]
    if differ:
        raise BenchError(
            f"{one} and {other} are not of the same images: {ours.ids[differ[0]]} is another one in each; encode the "
            "same images with both encoders"
        )
    return Features(found.x, ours.labels, ours.ids, ours.class_names)
