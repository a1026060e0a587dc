"""Which memory a scenario takes, and what stands in for one: the support split, simulated sources."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.sampling.class_split import Classes, eligible
from bench.utils.errors import BenchError

MemoryChoice = Literal["auto", "declared", "support"]
"""The image memory: what a data set declares, its support split under its class names, or the first that is there."""

SUPPORT = "support split"
"""What conditions, notes and sources call a support split that stands in for a memory."""


def _stands_in(dataset: Dataset, which: MemoryChoice) -> bool:
    return which == "support" or (which == "auto" and not len(dataset.memory.images))


def choose_memory(dataset: Dataset, which: MemoryChoice) -> tuple[Memory, str]:
    """Return the memory and where its images are from, for the notes: ``declared`` or what stands in for it."""
    if _stands_in(dataset, which):
        images = Items.of_features(dataset.role("support"), SUPPORT)
        return dataset.memory.replace(images=images), f"{SUPPORT} under its class names"
    return dataset.memory, "declared"


def declared_memory(dataset: Dataset, setting: str) -> Memory:
    """Return the memory that a data set declares; an error if it declares none.

    Parameters
    ----------
    setting : str
        The parameter that says so, for the message.

    Raises
    ------
    BenchError
        If it declares no image.
    """
    if not len(dataset.memory.images):
        raise BenchError(
            f"data set {dataset.name} declares no image memory and {setting}=declared asks for it; choose another "
            f"{setting}, or add a memory to its pack.yaml"
        )
    return dataset.memory


def check_declared(dataset: Dataset, which: str, setting: str) -> None:
    """Raise the error of :func:`declared_memory` if ``which`` asks for what is declared and nothing is."""
    if which == "declared":
        declared_memory(dataset, setting)


def declared_or_bare(
    dataset: Dataset, which: Literal["auto", "declared", "none"], setting: str, *, instead: str = "the support"
) -> tuple[Memory, str]:
    """Return the declared memory, or its texts alone so that methods retrieve from the support; and which it is.

    Parameters
    ----------
    instead : str
        What methods retrieve from without a memory, for the notes.
    """
    if which == "declared" or (which == "auto" and len(dataset.memory.images)):
        return declared_memory(dataset, setting), "declared"
    return dataset.memory.replace(images=dataset.memory.images.take([])), f"none; methods retrieve from {instead}"


def declared_beside_support(dataset: Dataset, which: Literal["support", "declared"]) -> Memory:
    """Return the declared memory, or its texts alone so that the labelled images are the image memory."""
    return dataset.memory if which == "declared" else dataset.memory.replace(images=Items.empty(dataset.dimension))


def departures(dataset: Dataset, classes: Classes, memory: MemoryChoice | None = None) -> dict[str, str]:
    """Return how a task departs from the data set as it is, for the condition and so for every table.

    That is which classes are left out and what stands in for a memory; empty where nothing does.
    """
    found = {}
    if len(eligible(dataset, classes)) < len(dataset.class_names):
        found["classes"] = str(classes)
    if memory is not None and _stands_in(dataset, memory):
        found["memory"] = SUPPORT
    return found


def simulated_sources(items: Items, dataset: Dataset) -> Items:
    """Return the items with two simulated sources: those of each class are ``A`` and ``B`` in turn, by their ids.

    Raises
    ------
    BenchError
        If a class has a single item.
    """
    second = np.zeros(len(items), dtype=bool)
    labels = items.labels.cpu().numpy()
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        second[rows[np.argsort(items.ids[rows])][1::2]] = True
    _in_both(labels[~second], labels[second], ("A", "B"), dataset)
    return replace(items, sources=np.where(second, "B", "A"))


def two_sources(items: Items, dataset: Dataset) -> tuple[Items, Items, tuple[str, str], bool]:
    """Return the items of two disjoint sources, the names of the sources, and whether they are simulated.

    They are the two sources with most items, ties by name; where all items have one source, two are simulated.

    Raises
    ------
    BenchError
        If a class has no item in one of them.
    """
    names, counts = np.unique(items.sources, return_counts=True)
    simulated = len(names) < 2
    if simulated:
        items = simulated_sources(items, dataset)
        first, second = "A", "B"
    else:
        first, second = (str(names[n]) for n in np.lexsort((names, -counts))[:2])
    halves = items.take(items.sources == first), items.take(items.sources == second)
    _in_both(halves[0].labels.cpu().numpy(), halves[1].labels.cpu().numpy(), (first, second), dataset)
    return *halves, (first, second), simulated


def halves(
    dataset: Dataset, memory: Memory, modality: Literal["both", "images", "texts"]
) -> tuple[dict[str, Memory], dict[str, Any]]:
    """Return the memory of each of two sources as ``A`` and ``B``, and what the sources are, for the notes.

    Items of a modality that is not exchanged are in both; see :func:`two_sources`.
    """
    a, b, sources = memory, memory, {}
    for name in ("images", "texts"):
        if modality not in ("both", name):
            continue
        first, second, names, simulated = two_sources(getattr(memory, name), dataset)
        a, b = a.replace(**{name: first}), b.replace(**{name: second})
        sources[name] = {"A": names[0], "B": names[1], "simulated": simulated}
    return {"A": a, "B": b}, sources


def simulated(dataset: Dataset, memory: Memory, modality: Literal["both", "images", "texts"]) -> dict[str, str]:
    """Return for the condition of which modality :func:`halves` simulates the sources; empty where of none."""
    names = [name for name, known in halves(dataset, memory, modality)[1].items() if known["simulated"]]
    return {"sources": f"simulated for {' and '.join(names)}"} if names else {}


def _in_both(one: np.ndarray, other: np.ndarray, sources: tuple[str, str], dataset: Dataset) -> None:
    lone = np.setxor1d(one, other)
    if len(lone):
        raise BenchError(
            f"data set {dataset.name}: class {dataset.class_names[int(lone[0])]!r} has memory items from one source "
            f"only, and {sources[0]} and {sources[1]} are compared; add items, or restrict the classes"
        )
