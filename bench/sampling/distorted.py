"""Queries whose images are distorted and encoded again."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.functional.distortions import Distortion, distort
from bench.utils.errors import BenchError
from bench.utils.random import Stream


def distorted(dataset: Dataset, queries: Features, kind: Distortion, severity: float) -> Features:
    """Return queries as the encoder sees their distorted images.

    What is drawn for an image follows from its id alone: all seeds and all encoders meet the same distorted images.

    Raises
    ------
    BenchError
        If the data set has features only, its encoder is another one now, or an image cannot be read.
    """
    pictures = dataset.pictures
    if pictures is None or any(name not in pictures.read for name in queries.ids.tolist()):
        raise BenchError(
            f"data set {dataset.name} has features only, and shift.distort={kind} needs the image of each query and "
            "its encoder; run it on images with --encoder, or move the features: shift.distort=null"
        )

    def change(image: Image.Image, name: str) -> Image.Image:
        return distort(image, kind, severity, Stream(0).child("distort", kind, name))

    return replace(queries, x=pictures.encoded(queries.ids, change).to(queries.x.dtype))
