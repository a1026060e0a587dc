"""Queries whose images are distorted and encoded again."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial

from bench.cache import FeatureCache, cache_root
from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.task import ItemImages
from bench.data.images.decode import decode
from bench.data.images.distort import Distortion, distort
from bench.data.images.encode import encode_source
from bench.data.images.items import ImageItem
from bench.encoders.image_tower import loaded
from bench.utils.errors import BenchError
from bench.utils.random import Stream


def distorted(dataset: Dataset, queries: Features, kind: Distortion, severity: float) -> Features:
    """Return queries as the encoder sees their distorted images, through the cache of features.

    What is drawn for an image follows from its id alone: all seeds and all encoders meet the same distorted images.

    Raises
    ------
    BenchError
        If the data set has features only, its encoder is another one now, or an image cannot be read.
    """
    pictures = dataset.pictures
    lost = [name for name in queries.ids.tolist() if pictures is None or name not in pictures.read]
    if pictures is None or lost:
        raise BenchError(
            f"data set {dataset.name} has features only, and shift.distort={kind} needs the image of each query and "
            "its encoder; run it on images with --encoder, or move the features: shift.distort=null"
        )
    pictures.check()
    items = [
        ImageItem(name, queries.class_names[label], partial(_bytes, pictures, name, kind, severity))
        for name, label in zip(queries.ids.tolist(), queries.labels.tolist(), strict=True)
    ]
    made = encode_source(loaded(pictures.encoder), items, cache=FeatureCache(cache_root()), workers=1)
    if made.set_aside:
        first = made.set_aside[0]
        raise BenchError(f"data set {dataset.name}: {first.id} cannot be distorted ({first.reason}); mend or remove it")
    return replace(queries, x=made.x.to(queries.x.dtype))


def _bytes(pictures: ItemImages, name: str, kind: Distortion, severity: float) -> bytes:
    image = distort(decode(pictures.read[name]()), kind, severity, Stream(0).child("distort", kind, name))
    sink = io.BytesIO()
    image.save(sink, "PNG", compress_level=1)
    return sink.getvalue()
