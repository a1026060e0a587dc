"""Parameters of a recipe (a method, scenario or engine): which it has, and their values."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import typing
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from bench.utils.errors import BenchError

_HINTS: WeakKeyDictionary[type, Mapping[str, Any]] = WeakKeyDictionary()


def hints(cls: type) -> Mapping[str, Any]:
    """Return the parameters of a recipe and their type hints, in order of declaration.

    Those of a dataclass are its fields, those of any other class the arguments of its constructor. A field with
    ``metadata={"param": False}`` (trained weights) is none.
    """
    if cls not in _HINTS:
        if dataclasses.is_dataclass(cls):
            types = typing.get_type_hints(cls, include_extras=True)
            names = [f.name for f in dataclasses.fields(cls) if f.init and f.metadata.get("param", True)]
        else:
            types = typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]
            names = list(_arguments(cls))
        _HINTS[cls] = {name: types.get(name, Any) for name in names}
    return _HINTS[cls]


def _arguments(cls: type) -> Mapping[str, inspect.Parameter]:
    """Return the named arguments of a constructor."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: one for name, one in inspect.signature(cls).parameters.items() if one.kind in named}


def defaults(recipe: Any) -> dict[str, Any]:
    """Return every parameter of a recipe with the value it has."""
    cls = type(recipe)
    try:
        return {name: getattr(recipe, name) for name in hints(cls)}
    except AttributeError as error:
        raise BenchError(f"{cls.__name__} must keep each argument of its constructor under its name: {error}") from None


def initial(cls: type) -> dict[str, Any]:
    """Return the parameters of a class that have a default, with it."""
    if dataclasses.is_dataclass(cls):
        given = {
            f.name: f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
            for f in dataclasses.fields(cls)
        }
        return {name: given[name] for name in hints(cls) if given[name] is not dataclasses.MISSING}
    return {n: one.default for n, one in _arguments(cls).items() if one.default is not inspect.Parameter.empty}


def evolve(recipe: Any, **values: Any) -> Any:
    """Return a recipe with some of its parameters or other fields changed."""
    if dataclasses.is_dataclass(recipe) and not isinstance(recipe, type):
        return dataclasses.replace(recipe, **values)
    known = hints(type(recipe))
    parameters = {name: value for name, value in values.items() if name in known}
    made = type(recipe)(**{**defaults(recipe), **parameters}) if parameters else copy.copy(recipe)
    for name in values.keys() - parameters.keys():
        setattr(made, name, values[name])
    return made
