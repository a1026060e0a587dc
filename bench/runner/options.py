"""The options of a run, each declared once: for the command line, YAML files, experiments, Python and workers.

Nothing heavy is imported here, not even pydantic, so that a shell completes ``bench run`` at once; in
:mod:`bench.runner.config` pydantic makes of these fields what converts and checks.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bench.runner.selection import SelectOn
from bench.utils.errors import BenchError
from bench.utils.names import expand, shown
from bench.utils.precision import TrainingPrecision
from bench.utils.whole_numbers import whole_number

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

MOST_SEEDS = 100_000
"""Seeds of one run."""
LARGEST_SEED = 2**63 - 1
"""What a column of records holds."""

DEFAULT_METHODS = ("zero-shot", "knn", "protonet", "slda", "mml", "icarl")
"""One of each kind: texts alone, neighbours, means, a Gaussian, a trained memory, exemplars. None searches a grid
anew in each session, as a linear probe does, which takes longer than all of these."""


@dataclass(frozen=True)
class Option:
    """How a field is written on the command line.

    Attributes
    ----------
    help : str
        One line.
    default : str
        What is shown as the default; None shows that of the field.
    repeated : bool
        Whether it is written once a value, rather than with commas.
    off : str
        The flag that turns it off, where it is on by default.
    shapes : bool
        Whether its value shapes what a cell computes or keeps, so that a cell under another value is another cell.
        Options that are resolved first, such as methods, data, seeds, devices and engines, count by what they are
        resolved to.
    """

    help: str
    metavar: str | None = None
    default: str | None = None
    repeated: bool = False
    off: str = ""
    shapes: bool = False


@dataclass(frozen=True)
class Before:
    """A function that a value is read by before its type is looked at."""

    read: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return what pydantic checks by; it calls this."""
        from pydantic import BeforeValidator

        return BeforeValidator(self.read).__get_pydantic_core_schema__(source, handler)


@dataclass(frozen=True)
class After:
    """A function that a value of the right type goes through."""

    read: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return what pydantic checks by; it calls this."""
        from pydantic import AfterValidator

        return AfterValidator(self.read).__get_pydantic_core_schema__(source, handler)


@dataclass(frozen=True)
class AtLeast:
    """The least that a whole number may be."""

    least: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return what pydantic checks by; it calls this."""
        return {**handler(source), "ge": self.least}


def split_names(value: Any) -> tuple[Any, ...]:
    """Return names that are given as one text with commas, one path or object, or several of them."""
    if isinstance(value, str) and not os.path.exists(value):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    several = value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(one, (Mapping, bool)) or one is None for one in several):
        raise BenchError(f"{shown(str(value))} is neither a name nor a list of names; write [one, another]")
    # A file may hold a name that YAML reads as a number.
    return tuple(str(one) if isinstance(one, (int, float)) else one for one in several)


def parse_seeds(text: str | int | Sequence[int]) -> tuple[int, ...]:
    """Return seeds: a count ``5`` is 0 to 4, a list ``0,3,7`` is itself."""
    given: Any = text
    said = shown(str(text)) if isinstance(text, (str, int, list, tuple)) else type(text).__name__
    try:
        if isinstance(text, str):
            # A comma at the end makes a list of one seed.
            given = [_seed(p) for p in text.strip().removesuffix(",").split(",")] if "," in text else _seed(text)
        # Before any of them is made: a billion would take all memory.
        if (given if type(given) is int else len(given)) > MOST_SEEDS:
            raise BenchError(f"--seeds {said} are more than {MOST_SEEDS}; run fewer at a time")
        seeds = tuple(range(given)) if type(given) is int else tuple(given)
    except (TypeError, ValueError):
        raise BenchError(f"--seeds {said} is neither a count nor a list; write 5 or 0,3,7") from None
    if not seeds or len(set(map(str, seeds))) < len(seeds) or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise BenchError(f"--seeds {said} must give different whole numbers from 0 up; write 5 or 0,3,7")
    if max(seeds) > LARGEST_SEED:
        raise BenchError(f"--seeds {said}: a seed is at most {LARGEST_SEED}; write a smaller one")
    return seeds


def _seed(text: str) -> int:
    number = whole_number(text.strip())
    if number is None:
        raise ValueError(text)
    return number


def parse_assignments(lines: Sequence[str]) -> dict[str, Any]:
    """Return ``{"knn.k": 16}`` for ``["knn.k=16"]``; values are read as YAML."""
    # What reads YAML takes longer to import than everything else here.
    from bench.utils.params import parse

    assigned: dict[str, Any] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or "." not in key:
            raise BenchError(f"--set {line!r} is not NAME.PARAMETER=VALUE; write for instance knn.k=16")
        assigned[key.strip()] = parse(value)
    return assigned


def assignments(value: Any) -> Mapping[str, Any]:
    """Return parameters by name, from ``NAME.PARAMETER=VALUE`` lines or from a mapping, flat or nested by name."""
    if value is None:
        return {}
    if isinstance(value, (list, tuple)) and all(isinstance(line, str) for line in value):
        return parse_assignments(value)
    if not isinstance(value, Mapping):
        raise BenchError(f"'set' must hold parameters by name, such as 'knn.k: 16', not {value!r}")
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        nested = isinstance(inner, Mapping) and "." not in str(key)
        flat |= {f"{key}.{name}": one for name, one in inner.items()} if nested else {str(key): inner}
    return flat


def _lines(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _expanded(path: Path | None) -> Path | None:
    return None if path is None else expand(path)


Names = Annotated[tuple[Any, ...], Before(split_names)]
"""Names, paths, or objects of this process."""


class RunOptions:
    """The fields of :class:`bench.runner.config.RunConfig`, with their types and defaults."""

    scenario: Annotated[Names, Option("Scenario to run.")] = ("incremental",)
    experiment: Annotated[
        str | None, Option("A table or figure of the papers by name; see `bench list experiments`.")
    ] = None
    methods: Annotated[Names, Option("Methods, separated by commas; knn:k=64 sets a parameter.")] = DEFAULT_METHODS
    data: Annotated[
        Names, Option("Data set: a name, or a feature pack's folder; may be repeated.", repeated=True, default="glyphs")
    ] = ("glyphs",)
    encoder: Annotated[
        tuple[str, ...],
        Before(_lines),
        Option(
            "Encode first: --data is then a folder or table of images, shards, or glyphs; may be repeated.",
            metavar="NAME",
            repeated=True,
            default="",
        ),
    ] = ()
    texts: Annotated[
        Literal["own", "synthesised"],
        Option("Texts of --encoder: its own, or made of an ImageNet classifier's rows.", metavar="own|synthesised"),
    ] = "own"
    templates: Annotated[
        str, Option("Prompts of --encoder: auto, imagenet-80, imagenet-7, photo, name, or a file.")
    ] = "auto"
    seeds: Annotated[
        tuple[int, ...],
        Before(parse_seeds),
        Option("A count (5 is 0 to 4) or a list (0,3,7).", default="3"),
    ] = (0, 1, 2)
    out: Annotated[Path, After(expand), Option("Folder that runs are kept in.")] = Path("runs")
    set: Annotated[
        Mapping[str, Any],
        Before(assignments),
        Option("Set a parameter: knn.k=16.", metavar="NAME.PARAM=VALUE", repeated=True, default=""),
    ] = {}
    device: Annotated[str, Option("Where to compute.", metavar="auto|cpu|cuda|cuda:N")] = "auto"
    precision: Annotated[TrainingPrecision, Option("Of trainings' losses.", shapes=True)] = "fp32"
    search: Annotated[str, Option("exact, hnsw, ivfpq, sq8 or milvus:ADDRESS.", metavar="ENGINE")] = "exact"
    jobs: Annotated[int | None, Option("Worker processes.", default="1; with --ray all there is room for")] = None
    ray: Annotated[str | None, Option("Work on a Ray cluster; needs the extra `ray`.", metavar="local|ADDRESS")] = None
    shard: Annotated[
        str | None, Option("Run part I of N only, in a folder of its own; see `bench merge`.", metavar="I/N")
    ] = None
    load: Annotated[Path | None, After(_expanded), Option("Use the weights a run kept instead of training.")] = None
    save_states: Annotated[
        bool, Option("Keep the weights trained on seen classes in the run's folder.", shapes=True)
    ] = False
    latency: Annotated[bool, Option("Also time answers to one query and to 256 at a time.", shapes=True)] = False
    tune: Annotated[
        int,
        AtLeast(1),
        Option("Try that many configurations of every method that declares a grid; 1 is the defaults.", shapes=True),
    ] = 1
    selection: Annotated[
        SelectOn,
        Option(
            "What is chosen on; never the queries.",
            metavar="support|validation-split|validation-classes",
            shapes=True,
        ),
    ] = "support"
    calibrate: Annotated[
        bool,
        Option(
            "Fit a temperature on held-out images, so that confidences are probabilities.",
            off="no-calibrate",
            default="on",
            shapes=True,
        ),
    ] = True
    oracle: Annotated[
        tuple[str, ...],
        Before(_lines),
        Option("Add an upper bound chosen on the queries.", metavar="NAME.PARAM=A,B", repeated=True, default=""),
    ] = ()
    fail_fast: Annotated[bool, Option("Stop at the first cell that fails, rather than after the others.")] = False
    progress: Annotated[bool, Option("Show a progress bar on a terminal.", off="quiet", default="on")] = True


@dataclass(frozen=True)
class Declared:
    """A field as it is declared: its type, its default, and how it is written on the command line."""

    type: Any
    default: Any
    option: Option


@cache
def declared() -> dict[str, Declared]:
    """Return the fields by name, in order of declaration."""
    found = {}
    for name, hint in typing.get_type_hints(RunOptions, include_extras=True).items():
        (option,) = (note for note in hint.__metadata__ if isinstance(note, Option))
        found[name] = Declared(hint.__origin__, getattr(RunOptions, name), option)
    return found
