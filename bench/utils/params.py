"""Parameters of methods and scenarios: converted by type hint, refused when misspelt."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import pydantic

from bench.utils.errors import BenchError, suggest
from bench.utils.recipe_fields import hints
from bench.utils.yaml12 import YamlError, YamlSyntaxError, parse_yaml

_ADAPTERS: WeakKeyDictionary[type, dict[str, pydantic.TypeAdapter[Any]]] = WeakKeyDictionary()
"""By class and parameter; to make one takes longer than to use it."""


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
        reason = _reason(error)
        if error.errors()[0]["type"] == "tuple_type" and not isinstance(value, (list, tuple, Mapping)):
            reason = f"it takes a list; write [{value}]"
        raise BenchError(f"{owner}.{name}={value!r}: {reason}") from None
    if _counts_a_truth(value, made):
        raise BenchError(f"{owner}.{name}={value!r}: it takes a number, and true and false are none")
    return made


def _reason(error: pydantic.ValidationError) -> str:
    """Return why a value does not fit; where its type is one of several, why it fits none of them."""
    first, *others = error.errors()
    place = first["loc"][:-1]
    same_place = [first, *(e for e in others if e["loc"] and e["loc"][:-1] == place and isinstance(e["loc"][-1], str))]
    reasons = dict.fromkeys(e["msg"][0].lower() + e["msg"][1:] for e in same_place)
    return ", or ".join(reasons).replace(", or input should be", ", or")


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
