"""Accuracy of every candidate on every task and data set of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.dataset import Dataset
from bench.core.registry import METHODS
from bench.data.registry import resolve
from bench.runner.api import run
from bench.runner.recipes import choose_recipes
from bench.utils.errors import BenchError
from bench.utils.params import make
from tools.choose_defaults.protocol import Candidates, Protocol


@dataclass(frozen=True)
class Tried:
    """One candidate: its parameters, and its accuracy in per cent by task and data set."""

    values: Mapping[str, Any]
    accuracy: Mapping[tuple[str, str], float]

    @property
    def mean(self) -> float:
        """The mean over tasks and data sets, each with the same weight."""
        return sum(self.accuracy.values()) / len(self.accuracy)


def dataset(name: str, of: Protocol) -> Dataset:
    """Return a data set with the roles that the protocol gives its splits."""
    found = resolve(name)
    roles = of.data[name]
    missing = [split for splits in roles.values() for split in splits if split not in found.splits]
    if missing:
        raise BenchError(f"data set {name} has no split {missing[0]!r}; it has {', '.join(found.splits)}")
    return replace(found, roles={**found.roles, **roles}) if roles else found


def measure(name: str, candidates: Candidates, of: Protocol, runs: Path | None = None) -> list[Tried]:
    """Return all candidates of a method with what they reach: the mean over seeds, conditions and sessions.

    A data set on which the method lacks something it needs (class texts) is left out for all its candidates. What is
    in the folder ``runs`` already is not run again: each seed is a run of its own.

    Raises
    ------
    BenchError
        If a candidate failed, or the method ran nowhere.
    """
    recipes = [make(METHODS.get(name).cls, name, {**candidates.fixed, **values}) for values in candidates.candidates]
    labels = [recipe.label for recipe in choose_recipes((), recipes, {})[1]]
    reached: list[dict[tuple[str, str], float]] = [{} for _ in labels]
    for task in candidates.tasks:
        setting = of.tasks[task]
        for data in of.data:
            frame = pd.concat(
                run(
                    setting.scenario,
                    recipes,
                    dataset(data, of),
                    [seed],
                    set=setting.assignments(data),
                    out=runs,
                    # Confidences are not looked at.
                    calibrate=False,
                    progress=False,
                )
                for seed in range(candidates.seeds or of.seeds)
            )
            failed = frame[frame["status"] == "failed"]
            if len(failed):
                row = failed.iloc[0]
                raise BenchError(f"{row['method']} failed on {data} ({task}): {row['reason']}")
            done = frame[frame["status"] == "ok"]
            shares = 100 * done["n_correct"] / done["n_queries"]
            for label, accuracy in shares.groupby(done["method"]).mean().items():
                reached[labels.index(str(label))][task, data] = float(accuracy)
    if not reached[0]:
        raise BenchError(f"{name} ran on none of {', '.join(of.data)}: it needs what they lack")
    return [Tried(values, accuracy) for values, accuracy in zip(candidates.candidates, reached, strict=True)]


def best(tried: list[Tried]) -> int:
    """Return the place of the candidate with the largest mean; ties go to the first."""
    return max(range(len(tried)), key=lambda place: (tried[place].mean, -place))
