"""Fitting: data of any kind to a model with what was measured of it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.classifier.calibration import SHARE
from bench.classifier.data import Read, arrays, memory_of, named, seen_classes, task_of, text_items
from bench.classifier.folder import without_items
from bench.classifier.inputs import as_features, images, is_features
from bench.classifier.model import Model, make_model
from bench.classifier.pictures import encode_images
from bench.classifier.reference import EncoderReference
from bench.core.dataset import Dataset
from bench.cost.latency import latencies
from bench.data.images.items import SetAside
from bench.encoders.encoder import Encoder
from bench.sampling.sessions import as_features as as_sampled
from bench.sampling.sessions import exclude
from bench.utils.errors import BenchError, Notice

Named = str | Path | Dataset
"""A data set: by name, by the folder of its pack or of its images, or itself."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """What a classifier is fitted on; see :meth:`bench.classifier.estimator.Classifier.fit`."""

    X: Any
    y: Sequence[Any] | None = None
    ids: Sequence[str] | None = None
    memory: Sequence[Named] = ()
    texts: Path | None = None
    train: Named | None = None
    licence: str = "unknown"
    progress: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class FitSettings:
    """How a classifier is fitted; see :class:`bench.classifier.estimator.Classifier`."""

    method: Any
    params: Mapping[str, Any] | None = None
    seed: int = 0
    hold_out: float = SHARE
    keep_items: bool = True
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class FitResult:
    """A model, and the images that could not be used."""

    model: Model
    set_aside: tuple[SetAside, ...] = field(default=())


def fit_model(material: Material, encoder: Encoder | None, settings: FitSettings) -> FitResult:
    """Return the model of labelled images or features.

    Raises
    ------
    BenchError
        For data that do not fit together or lack what the method needs.
    """
    options = {"licence": material.licence, "progress": material.progress} if encoder is not None else {}
    read = _read(material, encoder, options)
    dataset = read.dataset
    others = [named(one, encoder, **options) for one in material.memory]
    memory = memory_of(others, dataset) if others else dataset.memory
    if material.texts is not None:
        if encoder is None:
            raise BenchError("texts are encoded by the encoder, and none was given; name it")
        texts = text_items(material.texts, lambda said: encoder.encode_texts(said).x.float(), dataset)
        memory = memory.add(texts=texts)
    task = task_of(dataset, memory)
    training = validation = None
    if material.train is not None:
        asked = [task.support, dataset.role("query")]
        other = named(material.train, encoder, **options)
        training, validation = seen_classes(other, dataset, asked, settings.seed)
    model = make_model(
        settings.method,
        task,
        read.reference,
        params=settings.params,
        seed=settings.seed,
        training=training,
        validation=validation,
        share=settings.hold_out,
        device=settings.device,
        about=_provenance(dataset, material.train),
    )
    about = {**model.about, "items": len(task.support) + len(task.memory), **_measured(model, dataset)}
    model = replace(model, items_kept=settings.keep_items, about=about)
    if not settings.keep_items:
        model = replace(model, task=without_items(task))
    return FitResult(model, (*read.set_aside, *(item for one in others for item in one.set_aside)))


def _read(material: Material, encoder: Encoder | None, options: Mapping[str, Any]) -> Read:
    X, y = material.X, material.y
    if isinstance(X, (str, Path, Dataset)):
        if y is not None:
            raise BenchError("a folder or data set has its own labels; leave y out")
        return named(X, encoder, **options)
    if y is None:
        raise BenchError("features and lists of images need labels; give y, one a row")
    reference = EncoderReference() if encoder is None else EncoderReference.of(encoder)
    if is_features(X):
        return Read(arrays(as_features(X, None), y, material.ids), reference)
    if encoder is None:
        raise BenchError("images are encoded first; give an encoder, such as encoder='ViT-B-32:openai'")
    return Read(arrays(encode_images(encoder, images(X)), y, material.ids, "images"), reference)


def _measured(model: Model, dataset: Dataset) -> dict[str, Any]:
    """Return the accuracy on the data set's queries, if it has any, and how long an answer takes."""
    told: dict[str, Any] = {}
    queries = dataset.role("query")
    # A memory may be the data set itself, and an item that is asked about answers for itself.
    apart = exclude(queries, [as_sampled(model.task.memory.images, dataset)])
    if len(apart) < len(queries):
        count = len(queries) - len(apart)
        warnings.warn(f"{count} of {len(queries)} queries lie in the memory, and are not asked", Notice, stacklevel=2)
    queries = apart
    if len(queries):
        # A class that has queries alone cannot be answered, and they count as wrong.
        best = model.scores(queries.x).argmax(1).tolist()
        pairs = zip(best, queries.labels.tolist(), strict=True)
        right = sum(model.names[column] == dataset.class_names[label] for column, label in pairs)
        told["queries"] = {"images": len(queries), "correct": right}
    asked = queries if len(queries) else next(iter(dataset.splits.values()))
    told["latency"] = latencies(lambda part: model.probabilities(model.scores(part)), asked.x.float()[:1024])
    return told


def _provenance(dataset: Dataset, train: Named | None) -> dict[str, Any]:
    about = dataset.card
    return {
        "data": about.name,
        "revision": about.revision,
        "licence": about.licence,
        "citation": about.citation,
        "fitted": time.strftime("%Y-%m-%d", time.gmtime()),
        **({} if train is None else {"trained_on": train.name if isinstance(train, Dataset) else str(train)}),
    }
