"""The oracle budget: parameters chosen on the query labels, by the harness alone, as an upper bound."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.protocols import About, Method
from bench.runner.evaluate import CellResult
from bench.runner.identity import recipe_fingerprint
from bench.runner.recipes import LabelledRecipe
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.params import convert, parse
from bench.utils.recipe_fields import defaults, evolve
from bench.utils.source import read

WORD = "oracle"
"""The selection in records, and the mark in a method's label."""


@dataclass(frozen=True)
class Oracle:
    """A method with parameters that are chosen on the queries of each cell.

    It is not a method: it never builds a state, and no name makes one. Only ``--oracle`` does.

    Attributes
    ----------
    candidates : tuple of (str, Method)
        The methods with each combination of values, and the combination in words.
    """

    name: str
    about: About
    candidates: tuple[tuple[str, Method], ...]


@dataclass(frozen=True)
class LabelledOracle(LabelledRecipe):
    """An oracle with the label it has in records and tables."""

    @property
    def candidates(self) -> tuple[Method, ...]:
        """The methods that are tried in each cell."""
        return tuple(method for _, method in self.recipe.candidates)

    def best(self, tried: Sequence[CellResult]) -> CellResult:
        """Return the result with the most right answers over all sessions; ties take the first.

        The record's details name the candidate and give the right answers of each.
        """
        right = [
            sum(int((o.predictions == o.session.queries.labels.cpu()).sum()) for o in result.outcomes)
            for result in tried
        ]
        at = right.index(max(right))
        words = [text for text, _ in self.recipe.candidates]
        told = {"chosen": words[at], "right_answers": dict(zip(words, right, strict=True))}
        outcomes = [dataclasses.replace(o, details={**o.details, WORD: told}) for o in tried[at].outcomes]
        return CellResult(outcomes)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the first candidate, and all combinations that are tried."""
        candidates = self.recipe.candidates
        return {**defaults(candidates[0][1]), WORD: [words for words, _ in candidates]}

    @property
    def code(self) -> str | None:
        """A hash of the code of the method, and of this file, which chooses."""
        return digest(recipe_fingerprint(self.recipe.candidates[0][1]), read(Path(__file__)).digest)


def oracles(methods: Sequence[LabelledRecipe], lines: Sequence[str]) -> tuple[LabelledOracle, ...]:
    """Return one oracle for each method that ``knn.k=1,4,16`` lines name.

    Raises
    ------
    BenchError
        If a line is not NAME.PARAMETER=VALUE,VALUE or its method is not one of the run's.
    """
    axes: dict[str, dict[str, list[Any]]] = {}
    for line in lines:
        key, equals, text = line.partition("=")
        name, dot, parameter = key.strip().rpartition(".")
        values = parse(f"[{text}]")
        if not (equals and dot and isinstance(values, list) and len(values) > 1):
            raise BenchError(f"--oracle {line!r} is not NAME.PARAMETER=VALUE,VALUE; write for instance knn.k=1,4,16")
        axes.setdefault(name, {})[parameter] = values
    return tuple(_oracle(_named(methods, name), values) for name, values in axes.items())


def _named(methods: Sequence[LabelledRecipe], name: str) -> LabelledRecipe:
    found = [m for m in methods if m.label == name]
    if not found:
        raise BenchError(f"--oracle {name}: {name!r} is no method of this run; add it to --methods")
    return found[0]


def _oracle(named: LabelledRecipe, axes: Mapping[str, list[Any]]) -> LabelledOracle:
    recipe = named.recipe
    typed = {key: [convert(type(recipe), named.label, key, v) for v in values] for key, values in axes.items()}
    candidates = []
    for values in itertools.product(*typed.values()):
        chosen = dict(zip(typed, values, strict=True))
        words = ",".join(f"{key}={value}" for key, value in chosen.items())
        candidates.append((words, evolve(recipe, **chosen)))
    about = dataclasses.replace(recipe.about, selection=WORD)
    return LabelledOracle(f"{named.label}({WORD}:{','.join(typed)})", Oracle(recipe.name, about, tuple(candidates)))
