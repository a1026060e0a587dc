"""The options of a run, converted and checked; :mod:`bench.runner.options` declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.runner.options import Option, RunOptions, assignments, declared, split_names
from bench.utils.errors import BenchError, suggest
from bench.utils.texts import read_text
from bench.utils.yaml12 import YamlError, YamlSyntaxError, parse_yaml


class RunConfig(RunOptions, BaseModel):
    """All options of a run; each is an option of ``bench run``, a YAML key and an argument of ``bench.run``.

    Raises
    ------
    BenchError
        For an option that does not exist or a value that does not fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __init__(self, **values: Any) -> None:
        unknown = [name for name in values if name not in type(self).model_fields]
        if unknown:
            raise BenchError(f"unknown option {unknown[0]!r}{suggest(unknown[0], type(self).model_fields)}")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise BenchError(_one_line(error)) from None

    @classmethod
    def merged(cls, file: Path | None, options: Mapping[str, Any]) -> Self:
        """Return the options of a YAML file, of an experiment and of the command line, the later over the earlier.

        An experiment counts as said just before what names it, so that a file that names one may differ from it.
        Parameters (``set``) are merged one by one.

        Raises
        ------
        BenchError
            As construction does; and if the file cannot be read or data of the experiment are not there.
        """
        layers = [_checked_file(file) if file is not None else {}, dict(options)]
        for place in (1, 0):
            named = layers[place].get("experiment")
            if named:
                from bench.runner import experiments

                above = [layer["data"] for layer in layers[place:] if layer.get("data")]
                layers.insert(place, experiments.load(str(named), split_names(above[-1]) if above else ()))
                break
        values: dict[str, Any] = {}
        parameters: dict[str, Any] = {}
        for layer in layers:
            values |= layer
            parameters |= assignments(layer.get("set"))
        return cls(**{**values, "set": parameters})

    def shaping(self) -> dict[str, Any]:
        """Return the options that shape cells and differ from their defaults, as plain values."""
        names = {name for name, option in self.options().items() if option.shapes}
        return self.model_dump(mode="json", include=names, exclude_defaults=True)

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Return how each field is written on the command line."""
        return {name: field.option for name, field in declared().items()}


def _checked_file(path: Path) -> dict[str, Any]:
    """Return the options in a YAML file; what is none, or has no value, raises :class:`BenchError`."""
    known = RunConfig.model_fields
    text = read_text(path, "the path of a YAML file")
    try:
        content = parse_yaml(text)
    except YamlSyntaxError as error:
        raise BenchError(f"{path} is not YAML: {error}") from None
    except YamlError as error:
        raise BenchError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise BenchError(f"{path} must hold settings such as 'scenario: incremental'; known: {', '.join(known)}")
    for key, value in content.items():
        if key not in known:
            raise BenchError(f"{path}: unknown setting {key!r}{suggest(str(key), known)}")
        if value is None and key != "set":
            raise BenchError(f"{path}: {key!r} has no value; write one or leave the line out")
    try:
        return {**content, "set": assignments(content.get("set"))}
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from None


def _one_line(error: ValidationError) -> str:
    """Return what is wrong with the first of the values, and what would do."""
    first = error.errors()[0]
    name, value = str(first["loc"][0]), first["input"]
    where = f"--{name.replace('_', '-')} {value!r}"
    if first["type"] == "literal_error":
        known = first["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return f"{where} is not one of {', '.join(known)}{_nearest(value, known)}"
    return f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _nearest(value: Any, known: Sequence[str]) -> str:
    said = suggest(str(value), known)
    return said if "did you mean" in said else ""
