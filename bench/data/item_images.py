"""The images behind a data set's features, for methods that train from pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.cache import FeatureCache, cache_root
from bench.data.declaration import declarations
from bench.data.images.decode import decode
from bench.data.images.items import ImageItem, Unusable
from bench.data.images.open import open_source
from bench.data.standard.prepare import prepare
from bench.utils.errors import BenchError, Unsuitable


class _AtOrigin(Mapping[str, Callable[[], bytes]]):
    """Images by id, listed when the first is asked for."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    @cached_property
    def _found(self) -> Mapping[str, Callable[[], bytes]]:
        name, _, root = self.origin.partition(":")
        try:
            if not Path(self.origin).exists() and root and name in declarations():
                source = prepare(name, Path(root)).source
            else:
                source = open_source(Path(self.origin))
        except BenchError:
            return {}
        return {item.id: item.read for item in source.items}

    def __contains__(self, name: object) -> bool:
        # Asked of every item of every task: to list shards for that would take as long as to encode them.
        return True

    def __getitem__(self, name: str) -> Callable[[], bytes]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Where images are and which encoder made their features.

    Attributes
    ----------
    encoder : str
        As :func:`bench.encoders.load_encoder` takes it.
    read : mapping of str to callable
        The bytes of each image's file, by the id that its features have.
    weights : str
        Content hash of the encoder's weights; empty is not checked.
    """

    encoder: str
    read: Mapping[str, Callable[[], bytes]]
    weights: str = ""

    @staticmethod
    def of(encoder: str, items: Iterable[ImageItem], weights: str = "") -> Pictures:
        """Return the pictures of images that can be read."""
        return Pictures(encoder, {item.id: item.read for item in items}, weights)

    @staticmethod
    def of_folder(encoder: str, folder: Path, weights: str = "") -> Pictures:
        """Return the pictures of a folder of class folders, or of another source that ``bench data encode`` takes."""
        return Pictures.of(encoder, open_source(folder).items, weights)

    @staticmethod
    def of_origin(encoder: str, origin: str, weights: str = "") -> Pictures:
        """Return the pictures of what ``bench run --encoder`` took; they are looked for when one is wanted.

        ``origin`` is a path, or ``NAME:FOLDER`` of a standard data set. If it is not there any more, there are none.
        """
        return Pictures(encoder, _AtOrigin(origin), weights)

    def check(self) -> None:
        """Raise :class:`BenchError` if the encoder's weights are not those that made the features."""
        from bench.encoders.image_tower import loaded

        found = loaded(self.encoder).weights_digest
        if self.weights and found != self.weights:
            raise BenchError(
                f"encoder {self.encoder} has other weights ({found[:12]}) than those that made the features "
                f"({self.weights[:12]}); encode the images again"
            )

    def pixels(self, ids: np.ndarray) -> Tensor:
        """Return images as the encoder takes them, flattened, float32 [n, channels x height x width].

        Raises
        ------
        Unsuitable
            If one of the images is not among the pictures or cannot be read.
        """
        from bench.encoders.image_tower import image_shape, loaded

        transform = loaded(self.encoder).transform
        channels, height, width = image_shape(self.encoder)
        x = torch.empty(len(ids), channels * height * width)
        for row, name in enumerate(ids.tolist()):
            read = self.read.get(name)
            if read is None:
                raise Unsuitable(f"needs the pixels of every image, and {name} has features only")
            try:
                x[row] = transform(decode(read())).flatten()
            except Unusable as reason:
                raise Unsuitable(f"needs the pixels of every image, and {name} cannot be read: {reason}") from None
        return x

    def encoded(self, ids: np.ndarray, change: Callable[[Image.Image, str], Image.Image]) -> Tensor:
        """Return the features [n, d] of images that are changed before they are encoded, through the cache.

        Parameters
        ----------
        change : callable
            Takes a decoded image and its id.

        Raises
        ------
        BenchError
            If an image is not among the pictures or cannot be read, or the encoder is another one now.
        """
        # Imported here as what the features are made with: most runs read them.
        from bench.data.images.encode import encode_source
        from bench.encoders.image_tower import loaded

        self.check()
        items = [ImageItem(name, "", partial(self._changed, name, change)) for name in ids.tolist()]
        made = encode_source(loaded(self.encoder), items, cache=FeatureCache(cache_root()), workers=1)
        if made.set_aside:
            first = made.set_aside[0]
            raise BenchError(f"image {first.id} cannot be encoded again ({first.reason}); mend or remove it")
        return made.x

    def _changed(self, name: str, change: Callable[[Image.Image, str], Image.Image]) -> bytes:
        sink = io.BytesIO()
        change(decode(self.read[name]()), name).save(sink, "PNG", compress_level=1)
        return sink.getvalue()
