"""What a classifier is fitted on: photographs, packs and arrays as tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.cache import FeatureCache, cache_root
from bench.classifier.items import renumbered, row_ids
from bench.classifier.reference import EncoderReference, space_of
from bench.core.dataset import Card, Dataset, require_same_space
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.task import Session, Task
from bench.data.images import open_source
from bench.data.images.encode import encode_source, encode_texts
from bench.data.images.items import SetAside
from bench.data.images.to_pack import auto_templates
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.data.splits import choose_roles
from bench.encoders import class_texts
from bench.encoders.encoder import Encoder
from bench.sampling.class_split import eligible
from bench.sampling.sessions import exclude, make_task, memory_session, training_session
from bench.utils.errors import BenchError, suggest
from bench.utils.hashing import digest
from bench.utils.json_text import parse_json
from bench.utils.names import expand, plain
from bench.utils.random import Stream
from bench.utils.texts import read_text

TRAIN_IMAGES = 16
"""Labelled images of each seen class that a method is trained on, at most; as in the paper's runs."""


@dataclass(frozen=True, eq=False)
class Read:
    """A data set with the reference of the encoder that made it, and what was left out."""

    dataset: Dataset
    reference: EncoderReference
    set_aside: tuple[SetAside, ...] = ()


def photographs(
    path: Path, encoder: Encoder, *, licence: str = "unknown", progress: bool = False, templates: str = "auto"
) -> Read:
    """Return a folder, table or shards of labelled images, encoded through the cache, with texts of their classes.

    One split is all support. Of several, the usual names tell which are support and which are queries.

    Raises
    ------
    BenchError
        If no image can be used, or the names of splits do not tell their roles.
    """
    source = open_source(path)
    cache = FeatureCache(cache_root())
    names = source.class_names
    label_of = {name: label for label, name in enumerate(names)}
    splits, aside = {}, list(source.set_aside)
    for split in source.splits:
        made = encode_source(encoder, source.of_split(split), cache=cache, progress=progress)
        aside += made.set_aside
        if not made.items:
            first = made.set_aside[0]
            raise BenchError(f"{path}: no image of split {split!r} can be used, e.g. {first.id}: {first.reason}")
        labels = torch.tensor([label_of[item.class_name] for item in made.items])
        splits[split] = Features(made.x.float(), labels, np.array([item.id for item in made.items]), names)
        splits[split].check(f"{path}, split {split}")
    strings: tuple[str, ...] = ()
    prompts = Features.empty(encoder_dimension(splits), names)
    if encoder.has_texts:
        chosen = auto_templates(encoder, templates)
        strings = tuple(template("{}") for template in chosen)
        said = [name.replace("_", " ") for name in names]
        texts = class_texts(lambda t: encode_texts(encoder, t, cache=cache), said, chosen)
        ids = np.array([f"prompt/{n}" for n in range(len(names))])
        prompts = Features(texts.x.float(), torch.arange(len(names)), ids, names)
    only = next(iter(splits)) if len(splits) == 1 else None
    roles = {"support": [only]} if only else choose_roles(splits, {})
    card = Card(
        name=expand(path).resolve().stem,
        revision=digest(sorted(part.fingerprint for part in splits.values()))[:12],
        licence=licence,
        encoder=encoder.name,
        space=space_of(encoder),
        encoder_texts=encoder.texts if encoder.has_texts else "none",
    )
    dataset = Dataset(
        card=card,
        class_names=names,
        splits=splits,
        roles={role: tuple(parts) for role, parts in roles.items()},
        prompts=prompts,
        memory=Memory.empty(prompts.dimension),
    )
    return Read(dataset, EncoderReference.of(encoder, strings), tuple(aside))


def encoder_dimension(splits: Mapping[str, Features]) -> int:
    """Return the number of dimensions of the features of some splits."""
    return next(iter(splits.values())).dimension


def named(wanted: str | Path | Dataset, encoder: Encoder | None, **options: Any) -> Read:
    """Return a data set by its name, its pack, or its images where there is an encoder.

    Raises
    ------
    BenchError
        For images without an encoder, a pack with one, and what is neither.
    """
    if isinstance(wanted, Dataset):
        return Read(wanted, EncoderReference.of_card(wanted.card))
    path = expand(Path(wanted))
    is_pack = (path / MANIFEST).is_file()
    if encoder is not None and path.exists() and not is_pack:
        return photographs(path, encoder, **options)
    if encoder is not None and is_pack:
        raise BenchError(f"{wanted} is a feature pack, whose encoder has done its work; leave the encoder out")
    if encoder is not None:
        raise BenchError(f"{wanted} is no folder of images; give one, or leave the encoder out for a data set's name")
    if path.is_dir() and not is_pack:
        raise BenchError(
            f"{wanted} is a folder without features; give an encoder, such as --encoder ViT-B-32:openai or glyphs, if "
            "it holds images"
        )
    dataset = resolve(wanted)
    dataset.check()
    return Read(dataset, EncoderReference.of_card(dataset.card))


def arrays(x: torch.Tensor, labels: Sequence[str], ids: Sequence[str] | None, name: str = "arrays") -> Dataset:
    """Return labelled features [n, d] as a data set; class names are sorted.

    Raises
    ------
    BenchError
        If there are not as many labels and ids as rows, a row is no vector, or an id is there twice.
    """
    if len(labels) != len(x):
        raise BenchError(f"{len(x)} rows and {len(labels)} labels; give one label for every row")
    names, at = np.unique(np.array([str(label) for label in labels]), return_inverse=True)
    classes = tuple(names.tolist())
    rows = row_ids(len(x), ids, x)
    features = Features(x, torch.from_numpy(at.astype(np.int64)), rows, classes)
    features.check(name)
    return Dataset(
        card=Card(name=name, revision=features.fingerprint[:12]),
        class_names=classes,
        splits={"all": features},
        roles={"support": ("all",)},
        prompts=Features.empty(features.dimension, classes),
        memory=Memory.empty(features.dimension),
    )


def task_of(dataset: Dataset, memory: Memory | None = None) -> Task:
    """Return the task over all classes of a data set that have anything to be known by."""
    whole = dataset.memory if memory is None else memory
    support = dataset.role("support")
    there = {
        *support.labels.tolist(),
        *whole.images.labels.tolist(),
        *whole.texts.labels.tolist(),
        *dataset.prompts.labels.tolist(),
    }
    if len(there) < 2:
        raise BenchError(
            f"{dataset.name} has {len(there)} class with items, and at least two are needed; add a folder of images "
            "for another class"
        )
    return renumbered(make_task(dataset, sorted(there), support=support, memory=whole), range(len(there)))


def memory_of(read: Sequence[Read], like: Dataset) -> Memory:
    """Return the images and texts of other data sets as memory items of the classes of the same names.

    Raises
    ------
    BenchError
        If one is of another encoder, or shares no class name with the data set.
    """
    ours = {plain(name): label for label, name in enumerate(like.class_names)}
    images, texts = [like.memory.images], [like.memory.texts]
    for one in read:
        other = one.dataset
        require_same_space(other, like)
        table = torch.tensor([ours.get(plain(name), -1) for name in other.class_names])
        rows = [Items.of_features(part, other.name) for part in other.splits.values()]
        for found, kept in ((Items.concat([*rows, other.memory.images]), images), (other.memory.texts, texts)):
            labels = table[found.labels] if len(found) else found.labels
            ids = np.char.add(f"{other.name}:", found.ids) if len(found) else found.ids
            kept.append(replace(found, labels=labels, ids=ids).take(labels >= 0))
        if not len(images[-1]) and not len(texts[-1]):
            raise BenchError(
                f"the memory {other.name} has no item of a class of {like.name}; its classes are called otherwise, "
                f"e.g. {other.class_names[0]!r}"
            )
    return Memory(Items.concat(images), Items.concat(texts))


def text_items(path: Path, encode: Callable[[list[str]], torch.Tensor], like: Dataset) -> Items:
    """Return the sentences of a JSON file, ``{"class": ["sentence", ...]}``, as text items.

    Raises
    ------
    BenchError
        If the file is of another form, or a class is none of the data set's.
    """
    wanted = 'a JSON file of sentences by class, {"cat": ["Cats purr."]}'
    try:
        content = parse_json(read_text(path, wanted))
    except ValueError as error:
        raise BenchError(f"{path} is no JSON: {error}; give {wanted}") from None
    if not isinstance(content, dict) or not all(
        isinstance(said, list) and all(isinstance(text, str) for text in said) for said in content.values()
    ):
        raise BenchError(f"{path} must hold {wanted}")
    ours = {plain(name): label for label, name in enumerate(like.class_names)}
    labels, sentences = [], []
    for name, said in content.items():
        if plain(name) not in ours:
            raise BenchError(f"{path}: {like.name} has no class {name!r}{suggest(name, like.class_names)}")
        labels += [ours[plain(name)]] * len(said)
        sentences += said
    if not sentences:
        raise BenchError(f"{path} holds no sentence; give {wanted}")
    ids = np.array([f"{path.stem}/{n}" for n in range(len(sentences))])
    return Items(encode(sentences), torch.tensor(labels), ids, np.full(len(sentences), path.stem))


def seen_classes(read: Read, like: Dataset, asked: Sequence[Features], seed: int) -> tuple[Session, Session | None]:
    """Return what a method is trained on, and what it may choose on: the classes of another data set.

    As ``web-zero-shot`` with ``train_on`` deals it: at most :data:`TRAIN_IMAGES` images a class; the memory is that of
    the data set, or its support.
    """
    other = read.dataset
    require_same_space(other, like)
    memory, origin = other.memory, "declared"
    if not len(memory.images):
        memory, origin = memory.replace(images=Items.of_features(other.role("support"), "support")), "support split"
    classes = eligible(other, "all")
    training = training_session(
        other, classes, memory, origin, images=TRAIN_IMAGES, rng=Stream(seed).child("classifier"), apart_from=asked
    )
    if not len(training.queries):
        raise BenchError(
            f"{other.name} has no labelled image outside its memory to train on; give it a support and a query split"
        )
    check = memory_session(other, classes, memory, origin)
    queries = exclude(check.queries, [training.queries, *asked])
    return training, replace(check, queries=queries) if len(queries) else None
