"""Registries of a report: metrics and figures by name, its own and those of plug-ins."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from bench.utils.errors import BenchError

T = TypeVar("T")


class Registry(Generic[T]):
    """The things of one kind, in the order in which they were registered.

    Built-in ones are registered where they are defined; plug-ins are the modules or objects that an installed
    distribution names in an entry-point group, imported when the registry is first read. A plug-in that cannot be used
    is one line of :attr:`warnings` and leaves everything else working.

    Parameters
    ----------
    kind : str
        What one of them is called in messages: ``metric``.
    group : str
        Entry-point group of plug-ins: ``retrieval_bench.metrics``.
    package : str, optional
        Package whose modules register built-in ones when they are imported.
    built_in : mapping, optional
        Built-in ones by name.
    """

    def __init__(
        self, kind: str, group: str, package: str | None = None, built_in: Mapping[str, T] | None = None
    ) -> None:
        self.kind, self.group, self.package = kind, group, package
        self._entries: dict[str, T] = dict(built_in or {})
        self._plugin_of: dict[str, str] = {}
        self._warnings: list[str] = []
        self._importing: str | None = None
        self._loaded = False

    def add(self, name: str, entry: T) -> None:
        """Register an entry under a name.

        Raises
        ------
        BenchError
            If the name is taken.
        """
        if name in self._entries:
            raise BenchError(f"two {self.kind}s are named {name!r}; rename one of them")
        self._entries[name] = entry
        if self._importing is not None:
            self._plugin_of[name] = self._importing

    def load(self) -> None:
        """Import the built-in modules and all plug-ins; a second call does nothing."""
        if self._loaded:
            return
        self._loaded = True
        if self.package is not None:
            for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
                importlib.import_module(f"{self.package}.{module.name}")
        for point in sorted(entry_points(group=self.group), key=lambda point: (point.name, point.value)):
            self._load_plugin(point)

    def _load_plugin(self, point: EntryPoint) -> None:
        before = dict(self._entries)
        self._importing = point.name
        try:
            point.load()
        except Exception as error:
            # What it registered before it failed would be half of a plug-in.
            self._entries = before
            reason = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
            self._warnings.append(
                f"plug-in {point.name!r} ({point.value}) of {self.group} cannot be used: "
                f"{' '.join(reason.split())}; mend or uninstall it"
            )
        finally:
            self._importing = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line a plug-in that cannot be used."""
        self.load()
        return tuple(self._warnings)

    def names(self) -> list[str]:
        """Return all names, in order of registration."""
        self.load()
        return list(self._entries)

    def plugin_of(self, name: str) -> str | None:
        """Return the plug-in that registered a name; None for a built-in one."""
        return self._plugin_of.get(name)

    def __iter__(self) -> Iterator[T]:
        """Iterate over all entries, in order of registration."""
        self.load()
        return iter(list(self._entries.values()))

    def __getitem__(self, name: str) -> T:
        """Return the entry of a name."""
        self.load()
        return self._entries[name]
