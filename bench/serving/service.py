"""A classifier that answers in several threads while it is edited."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from bench.classifier import Classifier
from bench.classifier.answers import SHOWN, Answer
from bench.classifier.inputs import as_features
from bench.data.images.decode import decode
from bench.data.images.items import Unusable
from bench.utils.errors import BenchError


class Service:
    """Answers and edits: an answer is of the classifier before an edit or after it, never of one in between.

    Parameters
    ----------
    classifier : Classifier
    folder : Path, optional
        Where each edit is written; without it edits are lost when the server ends.
    pixels : int
        Of an image, at most.
    """

    def __init__(self, classifier: Classifier, *, folder: Path | None = None, pixels: int) -> None:
        self._now = classifier
        self._folder = folder
        self._pixels = pixels
        self._edits = threading.Lock()
        self._encoding = threading.Lock()
        if classifier.measured_["images"]:
            classifier.open_encoder()

    @property
    def classifier(self) -> Classifier:
        """The classifier as it is now."""
        return self._now

    def image(self, data: bytes) -> Image.Image:
        """Return a decoded image, whatever it says that it is.

        Raises
        ------
        BenchError
            If the bytes are no image that can be used, or it is too large.
        """
        try:
            return decode(data, most=self._pixels)
        except Unusable as reason:
            raise BenchError(f"the image cannot be used: {reason}") from None

    def answer(
        self, *, images: Sequence[Image.Image] = (), features: Any = None, neighbours: int = SHOWN, below: float | None
    ) -> list[Answer]:
        """Return an answer for each image or row of features."""
        now = self._now
        if features is not None:
            x = as_features(features, now.n_features_in_)
        else:
            # An encoder on one device gains nothing from two callers, and would hold the features of both.
            with self._encoding:
                x = now.features(list(images))
        return now.answer(x, neighbours=neighbours, reject=below)

    def edit(self, change: Callable[[Classifier], Any]) -> Classifier:
        """Change a copy of the classifier, write it, and let it answer from then on; edits wait for one another."""
        with self._edits:
            made = copy.copy(self._now)
            change(made)
            if self._folder is not None:
                made.save(self._folder)
            self._now = made
            return made
