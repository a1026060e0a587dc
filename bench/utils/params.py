"""Parameters of methods and scenarios: found by name, converted by type hint, refused when misspelt."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import pydantic

from bench.utils.errors import BenchError, suggest
from bench.utils.yaml12 import YamlError, YamlSyntaxError, parse_yaml


def hints(cls: type) -> dict[str, Any]:
    """Return the parameters of a recipe and their type hints, in order of declaration.

    A field with ``metadata={"param": False}`` (trained weights) is none.
    """
    types = typing.get_type_hints(cls, include_extras=True)
    return {f.name: types[f.name] for f in dataclasses.fields(cls) if f.init and f.metadata.get("param", True)}


def defaults(recipe: Any) -> dict[str, Any]:
    """Return every parameter of a recipe with the value it has."""
    return {name: getattr(recipe, name) for name in hints(type(recipe))}


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
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    try:
        made = pydantic.TypeAdapter(known[name], config=config).validate_python(value)
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


def make(cls: type, owner: str, values: Mapping[str, Any]) -> Any:
    """Return a recipe with the given parameters set and the others at their defaults."""
    return cls(**{name: convert(cls, owner, name, value) for name, value in values.items()})
