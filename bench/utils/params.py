"""Parameters of methods and scenarios: found by name, converted by type hint, refused when misspelt."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import pydantic

from bench.utils.errors import BenchError, suggest
from bench.utils.yaml12 import YamlError, YamlSyntaxError, parse_yaml

_HINTS: WeakKeyDictionary[type, Mapping[str, Any]] = WeakKeyDictionary()
_ADAPTERS: WeakKeyDictionary[type, dict[str, pydantic.TypeAdapter[Any]]] = WeakKeyDictionary()
"""By class and parameter; to make one takes longer than to use it."""


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


def parse(text: str) -> Any:
    """Return the value of a parameter written on the command line, read as YAML 1.2; what is no YAML is text.

    Raises
    ------
    BenchError
        For YAML that is refused, such as a key given twice.
    """
    try:
        return parse_yaml(text)
    except YamlSyntaxError:
        return text
    except YamlError as error:
        raise BenchError(f"{text[:60]!r}: {error}; write it otherwise") from None


def convert(cls: type, owner: str, name: str, value: Any) -> Any:
    """Return a value converted to the type of a parameter.

    Raises
    ------
    BenchError
        If there is no such parameter or the value does not fit its type or range.
    """
    known = hints(cls)
    if name not in known:
        raise BenchError(f"{owner} has no parameter {name!r}{suggest(name, known)}")
    try:
        made = _adapter(cls, name).validate_python(value)
    except pydantic.ValidationError as error:
        reason = error.errors()[0]["msg"]
        reason = reason[0].lower() + reason[1:]
        if error.errors()[0]["type"] == "tuple_type" and not isinstance(value, (list, tuple, Mapping)):
            reason = f"it takes a list; write [{value}]"
        raise BenchError(f"{owner}.{name}={value!r}: {reason}") from None
    if _counts_a_truth(value, made):
        raise BenchError(f"{owner}.{name}={value!r}: it takes a number, and true and false are none")
    return made


def _counts_a_truth(value: Any, made: Any) -> bool:
    """Return whether true or false became 1 or 0 on the way, which pydantic holds to be a conversion."""
    if isinstance(value, bool):
        return isinstance(made, (int, float)) and not isinstance(made, bool)
    if isinstance(value, (list, tuple)) and isinstance(made, (list, tuple)) and len(value) == len(made):
        return any(map(_counts_a_truth, value, made))
    if isinstance(value, Mapping) and isinstance(made, Mapping):
        return any(_counts_a_truth(value[key], made[key]) for key in value if key in made)
    return False


def _adapter(cls: type, name: str) -> pydantic.TypeAdapter[Any]:
    made = _ADAPTERS.setdefault(cls, {})
    if name not in made:
        config = pydantic.ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        made[name] = pydantic.TypeAdapter(hints(cls)[name], config=config)
    return made[name]


def check_on_construction(cls: type) -> None:
    """Make the constructor of a recipe's class convert and check parameters as :func:`convert` does.

    What is no parameter, such as trained weights, passes as it is.
    """
    construct: Callable[..., None] = cls.__init__  # type: ignore[misc]
    others = inspect.signature(construct).parameters

    def checked(name: str, value: Any) -> Any:
        named = name in hints(cls) or name not in others
        return convert(cls, str(getattr(cls, "name", cls.__name__)), name, value) if named else value

    @functools.wraps(construct)
    def construct_checked(self: Any, *values: Any, **named: Any) -> None:
        # A subclass that hands its parameters on to this constructor checks them itself.
        if type(self) is cls:
            places = [*others][1 : len(values) + 1]
            values = (*map(checked, places, values), *values[len(places) :])
            named = {name: checked(name, value) for name, value in named.items()}
        construct(self, *values, **named)

    cls.__init__ = construct_checked  # type: ignore[misc]


def make(cls: type, owner: str, values: Mapping[str, Any]) -> Any:
    """Return a recipe with the given parameters set and the others at their defaults."""
    return cls(**{name: convert(cls, owner, name, value) for name, value in values.items()})
