"""The settings of a run: methods, scenarios, data and seeds, from the command line, a YAML file or Python."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.core.protocols import Method, Scenario
from bench.core.registry import METHODS, SCENARIOS, Registry
from bench.runner.identity import recipe_fingerprint
from bench.utils.errors import BenchError, suggest
from bench.utils.params import convert, defaults, hints, make, parse

DEFAULT_SCENARIO = "incremental"
DEFAULT_METHODS = ("zero-shot", "knn", "protonet", "linear-probe", "mml", "icarl")
DEFAULT_DATA = ("glyphs",)
DEFAULT_SEEDS = 5

CONFIG_KEYS = ("scenario", "methods", "data", "seeds", "out", "device", "precision", "search", "set")
"""What a YAML file may set."""


@dataclass(frozen=True)
class Named:
    """A recipe with the label it has in records and tables."""

    label: str
    recipe: Any

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that tells it apart: registered name, class, label, parameters."""
        return {
            "label": self.label,
            "name": self.recipe.name,
            "class": f"{type(self.recipe).__module__}.{type(self.recipe).__qualname__}",
            "params": self.params,
        }

    @property
    def params(self) -> dict[str, Any]:
        """Every parameter with its value."""
        return defaults(self.recipe)

    @property
    def code(self) -> str | None:
        """A hash of the file in which it is written; None if there is no file."""
        return recipe_fingerprint(self.recipe)


def parse_seeds(text: str | int | Sequence[int]) -> tuple[int, ...]:
    """Return seeds: a count ``5`` is 0 to 4, a list ``0,3,7`` is itself."""
    given: Any = text
    try:
        if isinstance(text, str):
            given = [int(p) for p in text.split(",") if p.strip()] if "," in text else int(text)
        seeds = tuple(range(given)) if type(given) is int else tuple(given)
    except (TypeError, ValueError):
        raise BenchError(f"--seeds {text!r} is neither a count nor a list; write 5 or 0,3,7") from None
    if not seeds or len(set(seeds)) < len(seeds) or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise BenchError(f"--seeds {text!r} must give different whole numbers from 0 up; write 5 or 0,3,7")
    return seeds


def parse_assignments(lines: Sequence[str]) -> dict[str, Any]:
    """Return ``{"knn.k": 16}`` for ``["knn.k=16"]``; values are read as YAML."""
    found: dict[str, Any] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or "." not in key:
            raise BenchError(f"--set {line!r} is not NAME.PARAMETER=VALUE; write for instance knn.k=16")
        found[key.strip()] = parse(value)
    return found


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML file; a key that is not a setting is refused.

    ``set`` may be written flat (``knn.k: 16``) or nested (``knn: {k: 16}``).
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}; give the path of a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise BenchError(f"{path} must hold settings such as 'scenario: incremental'; known: {', '.join(CONFIG_KEYS)}")
    for key in content:
        if key not in CONFIG_KEYS:
            raise BenchError(f"{path}: unknown setting {key!r}{suggest(str(key), CONFIG_KEYS)}")
    flat: dict[str, Any] = {}
    if not isinstance(content.get("set") or {}, Mapping):
        raise BenchError(f"{path}: 'set' must hold parameters by name, such as 'knn.k: 16'")
    for key, value in (content.get("set") or {}).items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[str(key)] = value
    return content | {"set": flat}


def _spec(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and inline parameters of ``knn:k=16:vote=temperature``.

    ``sklearn:sklearn.svm.LinearSVC:C=0.5`` names an estimator, whose parameters are its ``options``.
    """
    name, *rest = text.split(":")
    adapter = name.strip() == "sklearn" and bool(rest) and "=" not in rest[0]
    estimator = rest.pop(0).strip() if adapter else ""
    values = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals:
            raise BenchError(f"{text!r}: {part!r} is not PARAMETER=VALUE; write for instance knn:k=16")
        values[key.strip()] = parse(value)
    if adapter:
        values = {"estimator": estimator, **({"options": values} if values else {})}
    return name.strip(), values


def _recipes(registry: Registry, wanted: Sequence[Any], assignments: Mapping[str, Any], used: set[str]) -> list[Named]:
    found: list[Named] = []
    for want in wanted:
        if not isinstance(want, str):
            found.append(_own(registry, want, assignments, used))
            continue
        name, inline = _spec(want)
        entry = registry.get(name)
        # What is set for a method holds for its variants too, but for what makes them variants.
        values: dict[str, Any] = {}
        for owner in dict.fromkeys((entry.cls.name, name)):
            own = {k: v for k, v in assignments.items() if k.rpartition(".")[0] == owner}
            for key, value in own.items():
                parameter = key.rpartition(".")[2]
                if parameter not in hints(entry.cls):
                    convert(entry.cls, owner, parameter, value)
                values[parameter] = value
                used.add(key)
            values |= entry.preset if owner == entry.cls.name else {}
        values |= inline
        found += _sweep(entry.cls, name, values, list(inline))
    labels = [named.label for named in found]
    for label in labels:
        if labels.count(label) > 1:
            raise BenchError(f"{registry.kind} {label!r} is named twice; give one of them other parameters")
    return found


def _own(registry: Registry, recipe: Any, assignments: Mapping[str, Any], used: set[str]) -> Named:
    """Return the user's own object, or an object of their own class, with assignments applied."""
    if isinstance(recipe, type):
        recipe = recipe()
    name = getattr(recipe, "name", None)
    if not isinstance(name, str) or not dataclasses.is_dataclass(recipe):
        raise BenchError(
            f"{type(recipe).__name__} is no {registry.kind}; register its dataclass with @{registry.kind}(name)"
        )
    mine = {k.rpartition(".")[2]: v for k, v in assignments.items() if k.rpartition(".")[0] == name}
    used |= {k for k in assignments if k.rpartition(".")[0] == name}
    values = {k: convert(type(recipe), name, k, v) for k, v in mine.items()}
    return Named(name, dataclasses.replace(recipe, **values))  # type: ignore[type-var]


def _sweep(cls: type, name: str, values: Mapping[str, Any], shown: list[str]) -> list[Named]:
    """Return one recipe for each combination of the values of parameters that are given as lists."""
    axes: dict[str, list[Any]] = {}
    for key, value in values.items():
        if isinstance(value, list) and not _takes_list(cls, key):
            if not value:
                raise BenchError(f"{name}.{key}=[] sweeps over no value; give at least one")
            axes[key] = value
            if key not in shown:
                shown.append(key)
        else:
            axes[key] = [value]
    made = []
    for combination in itertools.product(*axes.values()):
        chosen = dict(zip(axes, combination, strict=True))
        tail = ",".join(f"{key}={chosen[key]}" for key in shown)
        made.append(Named(f"{name}({tail})" if tail else name, make(cls, name, chosen)))
    return made


def _takes_list(cls: type, name: str) -> bool:
    hint = hints(cls).get(name)
    text = str(hint)
    return "tuple" in text or "list" in text


@dataclass(frozen=True)
class Plan:
    """The recipes of a run."""

    scenarios: tuple[Named, ...]
    methods: tuple[Named, ...]
    seeds: tuple[int, ...]


def plan(
    scenario: str | Scenario | Sequence[str | Scenario],
    methods: Sequence[str | Method | type],
    seeds: tuple[int, ...],
    assignments: Mapping[str, Any],
) -> Plan:
    """Return the recipes for names, objects and parameter assignments.

    Raises
    ------
    BenchError
        For an unknown name or parameter, a value that does not fit, or an assignment to something that is not part
        of the run.
    """
    wanted = [scenario] if isinstance(scenario, str) or not isinstance(scenario, Sequence) else list(scenario)
    used: set[str] = set()
    scenarios = _recipes(SCENARIOS, wanted, assignments, used)
    recipes = _recipes(METHODS, list(methods), assignments, used)
    for key in assignments:
        if key not in used:
            owner = key.rpartition(".")[0]
            present = {named.recipe.name for named in scenarios} | {_spec(m)[0] for m in methods if isinstance(m, str)}
            raise BenchError(f"--set {key}: {owner!r} takes no part in this run{suggest(owner, present)}")
    return Plan(tuple(scenarios), tuple(recipes), seeds)
