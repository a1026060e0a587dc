"""Methods and scenarios by name: one decorator a kind, built-in folders, entry points for plug-ins."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, TypeVar

from bench.core.protocols import About, Need, Selection
from bench.utils.errors import BenchError, suggest
from bench.utils.params import check_on_construction

T = TypeVar("T", bound=type[Any])


@dataclass(frozen=True)
class Entry:
    """A registered name: a class and the parameters that the name presets (for a named variant)."""

    name: str
    cls: type[Any]
    preset: Mapping[str, Any] = field(default_factory=dict)


class Registry:
    """The recipes of one kind.

    Built-in ones are the modules of a top-level package (one a file); plug-ins are the modules or classes that an
    installed distribution names in an entry-point group. Both register through the decorator.
    """

    def __init__(self, kind: str, package: str, group: str) -> None:
        self.kind, self.package, self.group = kind, package, group
        self._known: dict[str, Entry] = {}
        self._loaded = False

    def add(self, name: str, cls: type[Any], preset: Mapping[str, Any] | None = None) -> None:
        """Register a class under a name, with the parameters that the name presets.

        Raises
        ------
        BenchError
            If another class has the name; the message says where both are.
        """
        other = self._known.get(name)
        if other is not None and _place(other.cls) != _place(cls):
            raise BenchError(
                f"two {self.kind}s are named {name!r}: {_place(other.cls)} and {_place(cls)}; rename one of them"
            )
        self._known[name] = Entry(name, cls, dict(preset or {}))

    def load(self) -> None:
        """Import all built-in modules and plug-ins; a second call does nothing."""
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        for point in entry_points(group=self.group):
            try:
                point.load()
            except BenchError:
                raise
            except Exception as error:
                raise BenchError(
                    f"plug-in {point.name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}; "
                    "mend or uninstall it"
                ) from error

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self.load()
        return sorted(self._known)

    def get(self, name: str) -> Entry:
        """Return the entry of a name; an unknown one raises :class:`BenchError` and suggests the nearest."""
        self.load()
        if name not in self._known:
            raise BenchError(f"unknown {self.kind} {name!r}{suggest(name, self._known)}")
        return self._known[name]


def _place(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


METHODS = Registry("method", "bench.methods", "retrieval_bench.methods")
SCENARIOS = Registry("scenario", "bench.scenarios", "retrieval_bench.scenarios")


def method(
    name: str,
    *,
    paper: str,
    equation: str,
    adapted: str = "",
    needs: tuple[Need, ...] = (),
    selection: Selection = "none",
    stores_items: bool = False,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[T], T]:
    """Register a method class, whose constructor checks its parameters by their type hints from then on.

    Parameters
    ----------
    name : str
        Its name on the command line, in YAML, in records and in tables.
    paper, equation : str
        Where it comes from.
    adapted : str
        What differs from the paper; empty for a faithful one.
    needs : tuple of str
        What a task must have; without it the method is skipped and the record says why.
    selection : str
        Where it chooses its hyperparameters.
    stores_items : bool
        Whether its state holds the items themselves; see :class:`bench.core.protocols.About`.
    variants : mapping of str to mapping
        Further names for the same class with some parameters preset, e.g. the ablations of a paper.
    """

    def register(cls: T) -> T:
        cls.name = name
        cls.about = About(
            paper=paper,
            equation=equation,
            fidelity="adapted" if adapted else "faithful",
            adapted=adapted,
            needs=needs,
            selection=selection,
            stores_items=stores_items,
        )
        check_on_construction(cls)
        METHODS.add(name, cls)
        for variant, preset in (variants or {}).items():
            METHODS.add(variant, cls, preset)
        return cls

    return register


def scenario(name: str) -> Callable[[T], T]:
    """Register a scenario class under its name; its constructor checks its parameters from then on."""

    def register(cls: T) -> T:
        cls.name = name
        check_on_construction(cls)
        SCENARIOS.add(name, cls)
        return cls

    return register
