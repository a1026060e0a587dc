"""Parameters of methods and scenarios: found by name, converted by type hint, refused when misspelt."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import pydantic
import yaml

from bench.utils.errors import BenchError, suggest


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
    """Return the value of a parameter written on the command line, read as YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


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
    # YAML reads 1e-6 as text (it wants 1.0e-6), so text is offered to the type as it stands.
    try:
        return pydantic.TypeAdapter(known[name], config=config).validate_python(value)
    except pydantic.ValidationError as error:
        reason = error.errors()[0]["msg"]
        reason = reason[0].lower() + reason[1:]
        if error.errors()[0]["type"] == "tuple_type" and not isinstance(value, (list, tuple, Mapping)):
            reason = f"it takes a list; write [{value}]"
        raise BenchError(f"{owner}.{name}={value!r}: {reason}") from None


def make(cls: type, owner: str, values: Mapping[str, Any]) -> Any:
    """Return a recipe with the given parameters set and the others at their defaults."""
    return cls(**{name: convert(cls, owner, name, value) for name, value in values.items()})
