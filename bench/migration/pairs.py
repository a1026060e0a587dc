"""Items and queries of one data set in the spaces of two encoders."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    place = None if isinstance(to, Dataset) else expand(Path(to))
    if place is not None and not (place / MANIFEST).is_file() and str(to) not in packs():
        return _encoded(old, items, queries, str(to), device, progress)
    new = resolve(to)
    _refuse_one_space(old.name, old.card.space, new.card.space)
    hashes = _pixels(data), _pixels(to)
    return EncodedTwice(
        dataset=old.name,
        encoders=(old.card.encoder, new.card.encoder),
        items=(items, _aligned(items, memory_of(new), old.name, new.name, hashes)),
        queries=(queries, _aligned(queries, new.role("query"), old.name, new.name, hashes)),
        flops=new.card.encoder_flops,
        seconds=None,
    )


def memory_of(dataset: Dataset) -> Features:
    """Return the labelled images that stand for a data set's memory."""
    support, images = dataset.role("support"), dataset.memory.images
    return support if len(support) else Features(images.x, images.labels, images.ids, dataset.class_names)


def _refuse_one_space(name: str, one: str, other: str) -> None:
    if one and one == other:
        raise BenchError(f"{name} is in the space of that encoder already ({one}); name another")


def _encoded(old: Dataset, items: Features, queries: Features, spec: str, device: str, progress: bool) -> EncodedTwice:
    """Return the images encoded by another encoder, through the cache."""
    read: Mapping[str, Callable[[], bytes]] = old.pictures.read if old.pictures is not None else {}
    every = np.concatenate([items.ids, queries.ids]).tolist()
    lost = [name for name in every if name not in read]
    if lost:
        raise BenchError(
            f"{old.name} has features only ({lost[0]} has no image), so {spec} cannot encode it; give --to a pack of "
            "the same images in its space"
        )
    _refuse_one_space(old.name, old.card.encoder, spec)
    encoder = load_encoder(spec, device=device)
    names = np.asarray(old.class_names)
    labels = torch.cat([items.labels, queries.labels]).cpu().numpy()
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
    n = len(items)
    new = made.x[:n].clone(), made.x[n:].clone()
    return EncodedTwice(
        dataset=old.name,
        encoders=(old.card.encoder, spec),
        items=(items, Features(new[0], items.labels, items.ids, old.class_names)),
        queries=(queries, Features(new[1], queries.labels, queries.ids, old.class_names)),
        flops=encoder.flops,
        # What came from the cache took no time worth a number.
        seconds=took / made.encoded if made.encoded == len(every) else None,
    )


def _bytes(read: Mapping[str, Callable[[], bytes]], name: str) -> bytes:
    return read[name]()


def _pixels(data: str | Path | Dataset) -> Pixels:
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


def _aligned(ours: Features, theirs: Features, one: str, other: str, hashes: tuple[Pixels, Pixels]) -> Features:
    """Return the other encoder's rows in our order; images that are not the same are refused."""
    place = {name: row for row, name in enumerate(theirs.ids.tolist())}
    lost = [name for name in ours.ids.tolist() if name not in place]
    if lost or len(theirs) != len(ours):
        odd = lost[0] if lost else sorted(set(place) - set(ours.ids.tolist()))[0]
        raise BenchError(
            f"{one} and {other} are not of the same images ({len(ours)} and {len(theirs)}, and {odd} is in one of them "
            "only); encode the same images with both encoders"
        )
    aligned = theirs.take([place[name] for name in ours.ids.tolist()])
    names = (
        np.asarray(ours.class_names)[ours.labels.cpu().numpy()],
        np.asarray(aligned.class_names)[aligned.labels.cpu().numpy()],
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
    return Features(aligned.x, ours.labels, ours.ids, ours.class_names)
