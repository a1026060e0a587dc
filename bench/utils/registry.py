"""What can be named: methods, scenarios, data sets, encoders and search engines, built in or by plug-ins.

Each kind has one decorator, one folder of built-in modules and one group of entry points. A built-in module is found by
its file, so that one file is all it takes; a plug-in is a module that an installed distribution names in the group.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from bench.utils.declared import Declared, declared, modules
from bench.utils.errors import BenchError, Notice, one_line, suggest


@dataclass(frozen=True)
class Kind:
    """One kind of thing that has a name.

    Attributes
    ----------
    word : str
        What messages call it.
    decorator : str
        Name of the decorator that registers it.
    package : str
        Where built-in ones are.
    group : str
        The group of entry points in which distributions name theirs.
    home : str
        ``MODULE:NAME`` of its registry, which may take long to import.
    bare : bool
        Whether an entry point may name a function without the decorator; it then has the entry point's name.
    """

    word: str
    decorator: str
    package: str
    group: str
    home: str = ""
    bare: bool = False

    def built_in(self) -> tuple[Declared, ...]:
        """Return what is built in, read from the source."""
        return declared(self.package, self.decorator)

    def plug_ins(self) -> list[EntryPoint]:
        """Return what installed distributions name in the group, by name; nothing is imported."""
        return sorted(entry_points(group=self.group), key=lambda point: point.name)

    def registry(self) -> Registry:
        """Return its registry, imported now."""
        module, _, name = self.home.partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, Registry)
        return found


METHOD = Kind("method", "method", "bench.methods", "retrieval_bench.methods", "bench.core.registry:METHODS")
SCENARIO = Kind("scenario", "scenario", "bench.scenarios", "retrieval_bench.scenarios", "bench.core.registry:SCENARIOS")
DATASET = Kind("data set", "dataset", "bench.data", "retrieval_bench.datasets", "bench.core.registry:DATASETS", True)
ENCODER = Kind("encoder", "encoder", "bench.encoders", "retrieval_bench.encoders", "bench.encoders.registry:ENCODERS")
ENGINE = Kind(
    "search engine", "search_engine", "bench.search", "retrieval_bench.engines", "bench.search.registry:ENGINES"
)


@dataclass(frozen=True)
class Entry:
    """A registered name.

    Attributes
    ----------
    cls : class or function
        What has the name.
    preset : mapping
        The parameters that the name presets, for a named variant.
    options : mapping
        What else the decorator was given.
    """

    name: str
    cls: Any
    preset: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


class Registry:
    """All of one kind by name.

    A plug-in that cannot be imported, or that takes a name which another has, is told in one line and left out; who
    asks for it by its name is told why it is not there.
    """

    def __init__(self, kind: Kind) -> None:
        self.spec, self.kind = kind, kind.word
        self.broken: dict[str, str] = {}
        """Why a plug-in is not there, by the name of its entry point."""
        self._known: dict[str, Entry] = {}
        self._plugged: set[str] = set()
        self._built_in_loaded = self._plug_ins_loaded = False

    def add(
        self,
        name: str,
        cls: Any,
        preset: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Register a class or function under a name, with the parameters that the name presets.

        Raises
        ------
        BenchError
            If another has the name; the message says where both are.
        """
        other = self._known.get(name)
        if other is not None and _place(other.cls) != _place(cls):
            raise BenchError(
                f"two {self.kind}s are named {name!r}: {_place(other.cls)} and {_place(cls)}; rename one of them"
            )
        self._known[name] = Entry(name, cls, dict(preset or {}), dict(options or {}))

    def load(self) -> None:
        """Import all built-in modules and plug-ins; a second call does nothing."""
        if not self._built_in_loaded:
            for module in modules(self.spec.package, self.spec.decorator):
                import_module(module)
            self._built_in_loaded = True
        if not self._plug_ins_loaded:
            self._plug_ins_loaded = True
            for point in self.spec.plug_ins():
                self._plug_in(point)

    def _plug_in(self, point: EntryPoint) -> None:
        before = dict(self._known)
        try:
            made = point.load()
            if self.spec.bare and self._known.keys() == before.keys() and not isinstance(made, ModuleType):
                self.add(point.name, made)
        # Whatever a stranger's module does when it is imported, leaving included, the rest goes on.
        except (Exception, SystemExit) as error:
            self._known = before
            reason = one_line(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {one_line(error)}"
            told = f"plug-in {point.name!r} ({point.value}) cannot be loaded: {reason}; mend or uninstall it"
            self.broken[point.name] = told
            warnings.warn(told, Notice, stacklevel=2)
        self._plugged |= self._known.keys() - before.keys()

    def plugged(self) -> list[Entry]:
        """Return what plug-ins have registered, by name."""
        self.load()
        return [self._known[name] for name in sorted(self._plugged & self._known.keys())]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self.load()
        return sorted(self._known)

    def find(self, name: str) -> Entry | None:
        """Return the entry of a name; None for an unknown one. Of what is built in, only its own module is imported.

        Raises
        ------
        BenchError
            For the name of a plug-in that cannot be loaded.
        """
        if name not in self._known and not self._built_in_loaded:
            for entry in self.spec.built_in():
                if name in (entry.name, *entry.options.get("variants", ())):
                    import_module(entry.module)
        if name not in self._known:
            self.load()
        if name not in self._known and name.removesuffix(":") in self.broken:
            raise BenchError(self.broken[name.removesuffix(":")])
        return self._known.get(name)

    def get(self, name: str) -> Entry:
        """Return the entry of a name; an unknown one raises :class:`BenchError` and suggests the nearest.

        Of what is built in, only its own module is imported where there are no plug-ins; one of these could otherwise
        take a name that is built in.
        """
        if not self._plug_ins_loaded:
            self._plug_ins_loaded = not self.spec.plug_ins()
            if not self._plug_ins_loaded:
                self.load()
        entry = self.find(name)
        if entry is None:
            raise BenchError(f"unknown {self.kind} {name!r}{suggest(name, self._known)}")
        return entry


def _place(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
