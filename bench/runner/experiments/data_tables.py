"""Tables of the founding paper that describe data and run nothing: its data sets (t10), first sentences (t18)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.core.dataset import Dataset
from bench.core.memory import Items
from bench.data.glyphs.dataset import sentences_of
from bench.data.names import known
from bench.data.provenance import PROVENANCE_FILE, read_provenance
from bench.sampling.class_split import split_classes
from bench.sampling.frame import SeenSplit
from bench.utils.errors import BenchError, suggest
from bench.utils.names import expand, shown
from bench.utils.random import Stream


def sizes(datasets: Sequence[Dataset], *, seed: int = 0) -> list[dict[str, Any]]:
    """Return table 10 for data sets at hand: classes and how they are split, images, memory items a class.

    Kang et al., Memory-Modular Classification, TMLR 2025, table 10.

    Parameters
    ----------
    datasets : sequence of Dataset
    seed : int
        Of the class split where a data set declares none: that of ``web-zero-shot`` with its default shares.

    Returns
    -------
    list of dict
        A row a data set. ``split`` is ``declared`` or ``drawn``, or ``none`` where classes are too few. Of the memories
        there is the number of items, how many classes have one, and the least, median and largest number of a class.
    """
    return [_size(dataset, seed) for dataset in datasets]


def _size(dataset: Dataset, seed: int) -> dict[str, Any]:
    shares = SeenSplit()
    every = range(len(dataset.class_names))
    split = "declared" if dataset.class_split else "drawn"
    try:
        parts = split_classes(dataset, every, seen=shares.seen, validation=shares.validation, rng=Stream(seed))
    except BenchError:
        split, parts = "none", ((), (), tuple(every))
    row: dict[str, Any] = {
        "dataset": dataset.name,
        "encoder": dataset.card.encoder,
        "classes": len(every),
        "split": split,
        **dict(zip(("seen", "validation", "unseen"), map(len, parts), strict=True)),
    }
    for role in ("support", "validation", "query"):
        row[f"{role}_images"] = len(dataset.role(role))
    memory = dataset.memory
    for what, items in (("image_memory", memory.images), ("text_memory", memory.texts)):
        row |= _spread(what, items, len(every))
    return row | {"class_texts": len(dataset.prompts)}


def _spread(what: str, items: Items, classes: int) -> dict[str, int]:
    counts = torch.bincount(items.labels.cpu(), minlength=classes)
    least, median, most = (int(found) for found in (counts.min(), counts.median(), counts.max()))
    return {
        what: len(items),
        f"{what}_classes": int((counts > 0).sum()),
        f"{what}_least": least,
        f"{what}_median": median,
        f"{what}_most": most,
    }


def first_texts(name: str, class_names: Sequence[str] = (), *, first: int = 3) -> list[dict[str, str]]:
    """Return table 18 for a memory at hand: the first texts of a class, as they were encoded.

    Kang et al., Memory-Modular Classification, TMLR 2025, table 18.

    Parameters
    ----------
    name : str
        ``glyphs``, or the name or folder of a pack that ``bench memory build`` wrote: packs of features alone keep the
        vectors of texts and not the texts.
    class_names : sequence of str
        Left out, the first class that has a text.
    first : int

    Returns
    -------
    list of dict
        ``class``, ``text`` and ``source`` of each, in the order of the memory; ``title`` and ``url`` where there are.

    Raises
    ------
    BenchError
        If the data set keeps no texts, or a class has none.
    """
    texts = sentences_of() if name == "glyphs" else _written(name)
    by_class: dict[str, list[dict[str, str]]] = {}
    for entry in texts:
        by_class.setdefault(entry["class"], []).append(entry)
    for wanted in class_names:
        if wanted not in by_class:
            raise BenchError(f"{name} has no text of a class {shown(wanted)}{suggest(wanted, list(by_class)[:1000])}")
    return [entry for wanted in class_names or [*by_class][:1] for entry in by_class[wanted][:first]]


def _written(name: str) -> list[dict[str, str]]:
    entry = known().get(name)
    folder = entry.folder if entry is not None else expand(Path(name))
    found = [] if folder is None else read_provenance(folder / PROVENANCE_FILE).get("texts", [])
    if not found:
        raise BenchError(
            f"{name} keeps the vectors of its texts, if it has any, and not the texts; `bench memory build` keeps "
            "them, and glyphs has them"
        )
    keys = ("text", "source", "title", "url")
    return [{"class": str(one.get("keyword", "")), **{key: str(one.get(key, "")) for key in keys}} for one in found]
