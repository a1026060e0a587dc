"""Which methods and scenarios a run has: from names, sweeps and objects to recipes with their labels."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.registry import METHODS, SCENARIOS, Registry, as_method
from bench.runner.evaluate import CellResult
from bench.runner.identity import recipe_fingerprint
from bench.utils.errors import BenchError, suggest
from bench.utils.params import convert, make, parse
from bench.utils.recipe_fields import defaults, evolve, hints, initial

_CAN = {"method": ("build", "score"), "scenario": ("conditions", "deal")}
"""What an object of each kind can do."""


@dataclass(frozen=True)
class LabelledRecipe:
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
    def candidates(self) -> tuple[Any, ...]:
        """The methods that are tried in each cell: this one."""
        return (self.recipe,)

    def best(self, tried: Sequence[CellResult]) -> CellResult:
        """Return the result that counts of those of the candidates."""
        return tried[0]

    @property
    def params(self) -> dict[str, Any]:
        """Every parameter with its value."""
        return defaults(self.recipe)

    @property
    def code(self) -> str | None:
        """A hash of the file in which it is written; None if there is no file."""
        return recipe_fingerprint(self.recipe)


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


def _recipes(
    registry: Registry, wanted: Sequence[Any], assignments: Mapping[str, Any], used: set[str]
) -> list[LabelledRecipe]:
    found: list[LabelledRecipe] = []
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
    labels = [recipe.label for recipe in found]
    for label in labels:
        if labels.count(label) > 1:
            raise BenchError(f"{registry.kind} {label!r} is named twice; give one of them other parameters")
    return found


def _own(registry: Registry, recipe: Any, assignments: Mapping[str, Any], used: set[str]) -> LabelledRecipe:
    """Return the user's own object, or an object of their own class, with assignments applied.

    Its label names the parameters in which it was made to differ from its class, so that several of one class run
    side by side, and each is called the same whatever runs beside it.
    """
    cls, kind = recipe if isinstance(recipe, type) else type(recipe), registry.kind
    lacking = [what for what in _CAN[kind] if not callable(getattr(recipe, what, None))]
    if lacking:
        raise BenchError(f"{cls.__name__} is no {kind}: it has no {' and no '.join(lacking)}; give it one")
    if kind == "method":
        as_method(cls)
    if isinstance(recipe, type):
        recipe = recipe()
    name = getattr(recipe, "name", None)
    if not isinstance(name, str):
        raise BenchError(f"{cls.__name__} has no name; register its class with @{kind}(name)")
    mine = {k.rpartition(".")[2]: v for k, v in assignments.items() if k.rpartition(".")[0] == name}
    used |= {k for k in assignments if k.rpartition(".")[0] == name}
    own, plain = defaults(recipe), initial(cls)
    shown = [key for key, value in own.items() if key not in plain or plain[key] != value]
    tail = ",".join(f"{key}={own[key]}" for key in shown)
    values = {key: convert(cls, name, key, value) for key, value in {**own, **mine}.items()}
    return LabelledRecipe(f"{name}({tail})" if tail else name, evolve(recipe, **values))


def _sweep(cls: type, name: str, values: Mapping[str, Any], shown: list[str]) -> list[LabelledRecipe]:
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
        made.append(LabelledRecipe(f"{name}({tail})" if tail else name, make(cls, name, chosen)))
    return made


def _takes_list(cls: type, name: str) -> bool:
    hint = hints(cls).get(name)
    text = str(hint)
    return "tuple" in text or "list" in text


def choose_recipes(
    scenarios: Sequence[Any], methods: Sequence[Any], assignments: Mapping[str, Any]
) -> tuple[tuple[LabelledRecipe, ...], tuple[LabelledRecipe, ...]]:
    """Return the scenarios and the methods that names, objects and parameter assignments mean.

    Raises
    ------
    BenchError
        For an unknown name or parameter, a value that does not fit, or an assignment to something that is not part
        of the run.
    """
    used: set[str] = set()
    chosen = _recipes(SCENARIOS, scenarios, assignments, used)
    recipes = _recipes(METHODS, methods, assignments, used)
    for key in assignments:
        if key not in used:
            owner = key.rpartition(".")[0]
            present = {one.recipe.name for one in chosen} | {_spec(m)[0] for m in methods if isinstance(m, str)}
            raise BenchError(f"--set {key}: {owner!r} takes no part in this run{suggest(owner, present)}")
    return tuple(chosen), tuple(recipes)
