"""The protocol and the candidates as files declare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.core.registry import METHODS
from bench.utils.errors import BenchError
from bench.utils.params import make
from bench.utils.recipe_fields import initial
from bench.utils.texts import read_text
from bench.utils.yaml12 import YamlError, parse_yaml

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One kind of task that candidates are tried on.

    Attributes
    ----------
    set : mapping
        Parameters of the scenario.
    of_each : mapping
        Further ones for single data sets, by name.
    """

    shows: str
    scenario: str
    set: Mapping[str, Any] = field(default_factory=dict)
    of_each: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def assignments(self, dataset: str) -> dict[str, Any]:
        """Return the parameters on a data set, as ``bench.run`` takes them."""
        values = {**self.set, **self.of_each.get(dataset, {})}
        return {f"{self.scenario}.{name}": value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What holds for all methods.

    Attributes
    ----------
    tries : int
        Candidates of each method.
    seeds : int
    data : mapping
        The roles of splits on each data set, where they are not those the data set declares.
    tasks : mapping
    """

    tries: int
    seeds: int
    data: Mapping[str, Mapping[str, tuple[str, ...]]]
    tasks: Mapping[str, Setting]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The settings that are tried for one method.

    Attributes
    ----------
    tasks : tuple of str
        On which tasks of the protocol.
    why : str
        Where the candidates come from, in one sentence.
    candidates : tuple of mapping
        Parameters; the first one wins ties.
    fixed : mapping
        Parameters that all candidates have and that are not chosen.
    seeds : int, optional
        Fewer than the protocol has, where a seed takes long.
    """

    tasks: tuple[str, ...]
    why: str
    candidates: tuple[Mapping[str, Any], ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    seeds: int | None = None


def _read(path: Path, kind: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(
            parse_yaml(read_text(path, "a YAML file with the keys of its neighbours"))
        )
    except (YamlError, ValidationError) as error:
        line = str(error).splitlines()
        raise BenchError(f"{path.name}: {' '.join(part.strip() for part in line[:3])}") from None


def protocol() -> Protocol:
    """Return the protocol."""
    found: Protocol = _read(HERE / "protocol.yaml", Protocol)
    return found


def names() -> list[str]:
    """Return the methods that have candidates."""
    return sorted(path.stem for path in (HERE / "candidates").glob("*.yaml"))


def candidates(name: str, of: Protocol) -> Candidates:
    """Return the candidates of a method.

    Raises
    ------
    BenchError
        If there are none, more or fewer than the protocol has tries, two that are the same, a parameter that the
        method does not have, or a task that the protocol does not have.
    """
    path = HERE / "candidates" / f"{name}.yaml"
    if not path.exists():
        raise BenchError(f"no candidates for {name!r}; there are files for {', '.join(names())}")
    found: Candidates = _read(path, Candidates)
    if len(found.candidates) != of.tries:
        raise BenchError(f"{path.name} has {len(found.candidates)} candidates; every method has {of.tries} tries")
    unknown = [task for task in found.tasks if task not in of.tasks]
    if unknown or not found.tasks:
        raise BenchError(f"{path.name}: tasks are some of {', '.join(of.tasks)}, not {', '.join(unknown) or 'none'}")
    made = [make(METHODS.get(name).cls, name, {**found.fixed, **values}) for values in found.candidates]
    if any(one in made[:place] for place, one in enumerate(made)):
        raise BenchError(f"{path.name} has a candidate twice")
    return found


def is_default(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether a method has these parameters unless others are given."""
    cls = METHODS.get(name).cls
    return bool(make(cls, name, values) == make(cls, name, {})) and set(values) <= set(initial(cls))
