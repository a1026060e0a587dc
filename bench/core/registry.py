"""The decorators that register methods, scenarios and data sets, and their registries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar
from weakref import WeakSet

from bench.core.dataset import Dataset
from bench.core.protocols import About, Need, Sees, Selection
from bench.utils.params import check_on_construction, convert
from bench.utils.registry import DATASET, METHOD, SCENARIO, Entry, Registry

__all__ = ["DATASETS", "METHODS", "SCENARIOS", "Entry", "Registry", "dataset", "method", "scenario"]

T = TypeVar("T", bound=type[Any])
Load = Callable[[], Dataset]

METHODS, SCENARIOS, DATASETS = Registry(METHOD), Registry(SCENARIO), Registry(DATASET)


@dataclass(frozen=True)
class _Declared:
    """What a method class says of itself; an object that has all parameters of a faithful variant is faithful."""

    about: About
    faithful: tuple[Mapping[str, Any], ...]

    def __get__(self, recipe: Any, owner: type | None = None) -> About:
        if any(all(getattr(recipe, key, None) == value for key, value in preset.items()) for preset in self.faithful):
            return replace(self.about, fidelity="faithful", adapted="")
        return self.about


def method(
    name: str,
    *,
    paper: str = "",
    equation: str = "",
    adapted: str = "",
    needs: tuple[Need, ...] = (),
    selection: Selection = "none",
    stores_items: bool = False,
    grid: Mapping[str, Sequence[Any]] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    also_needs: Mapping[str, tuple[Need, ...]] | None = None,
    faithful: tuple[str, ...] = (),
    sees: Sees = "query",
) -> Callable[[T], T]:
    """Register a method class, whose constructor checks its parameters by their type hints from then on.

    Parameters
    ----------
    name : str
        Its name on the command line, in YAML, in records and in tables.
    paper, equation : str
        Where it comes from; empty for one of your own.
    adapted : str
        What differs from the paper; empty for a faithful one.
    needs : tuple of str
        What a task must have; without it the method is skipped and the record says why.
    selection : str
        Where it chooses its hyperparameters.
    stores_items : bool
        Whether its state holds the items themselves; see :class:`bench.core.protocols.About`.
    grid : mapping of str to sequence
        The values of its parameters that ``--tune`` tries, beside its defaults, in all combinations. A parameter that
        is set, or that a variant presets, is left as it is.
    variants : mapping of str to mapping
        Further names for the same class with some parameters preset, e.g. the ablations of a paper.
    also_needs : mapping of str to tuple of str
        What a variant needs beside ``needs``, by its name.
    faithful : tuple of str
        The variants of an adapted method that are as the paper or its code has it, by name.
    sees : str
        What it looks at when it answers a query: ``query``, ``stream`` or ``set``.
    """

    def register(cls: T) -> T:
        cls.name = name
        about = About(
            paper=paper,
            equation=equation,
            fidelity="adapted" if adapted else "faithful",
            adapted=adapted,
            needs=needs,
            selection=selection,
            stores_items=stores_items,
            grid=MappingProxyType({key: tuple(values) for key, values in (grid or {}).items()}),
            sees=sees,
        )
        cls.about = _Declared(about, tuple((variants or {})[variant] for variant in faithful))
        check_on_construction(cls)
        for key, values in about.grid.items():
            for value in values:
                convert(cls, name, key, value)
        METHODS.add(name, cls)
        for variant, preset in (variants or {}).items():
            METHODS.add(variant, cls, preset, {"needs": (*needs, *(also_needs or {}).get(variant, ()))})
        return cls

    return register


def as_method(cls: type[Any]) -> None:
    """Give a plain class with ``build`` and ``score`` what :func:`method` gives, without registering it.

    Its name is its own attribute ``name``, or that of the class; what it declares of itself (``about``) stays.
    """
    if cls in _PLAIN or (hasattr(cls, "about") and _PLAIN.isdisjoint(cls.__mro__)):
        return
    _PLAIN.add(cls)
    if not isinstance(vars(cls).get("name"), str):
        cls.name = cls.__name__
    cls.about = About(paper="", equation="", fidelity="faithful")
    check_on_construction(cls)


_PLAIN: WeakSet[type[Any]] = WeakSet()
"""Classes that were made methods as they are; a class that extends one is a method of its own."""


def scenario(name: str) -> Callable[[T], T]:
    """Register a scenario class under its name; its constructor checks its parameters from then on."""

    def register(cls: T) -> T:
        cls.name = name
        check_on_construction(cls)
        SCENARIOS.add(name, cls)
        return cls

    return register


def dataset(name: str, *, description: str) -> Callable[[Load], Load]:
    """Register a function without arguments that returns a data set, under its name; ``bench list`` describes it."""

    def register(load: Load) -> Load:
        DATASETS.add(name, load, options={"description": description})
        return load

    return register
