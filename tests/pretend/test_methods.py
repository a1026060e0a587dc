"""Every registered method x every scenario: a card gives the answers that the CPU gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
import torch

from bench.core.dataset import Dataset
from bench.core.registry import METHODS
from bench.core.registry import SCENARIOS as REGISTERED
from bench.core.task import Episode
from bench.runner.evaluate import Outcome, missing_requirement, run_cell
from bench.runner.handover import Handover
from bench.utils.random import Stream
from tests.pretend.device import pretend_cuda
from tests.pretend.recipes import MEASURED, SCENARIOS, method


def test_every_scenario_is_tested_here() -> None:
    assert {recipe.name for recipe in (*SCENARIOS, *MEASURED)} == set(REGISTERED.names())


@pytest.fixture(scope="session")
def dealt(dataset_of: Callable[[str], Dataset]) -> Callable[[str, Any], Episode]:
    """Return a function that deals the last condition of a scenario on a data set, once for all methods."""
    known: dict[tuple[str, int], Episode] = {}

    def deal(name: str, recipe: Any) -> Episode:
        if (name, id(recipe)) not in known:
            data = dataset_of(name)
            known[name, id(recipe)] = recipe.deal(data, list(recipe.conditions(data))[-1], rng=Stream(0))
        return known[name, id(recipe)]

    return deal


def outcomes(name: str, episode: Episode) -> list[Outcome]:
    return run_cell(method(name), Handover(episode, 0), label=name).outcomes


_WITHOUT = {
    **dict.fromkeys(("few-to-many-shot", "incremental", "label-noise"), frozenset({"training"})),
    **dict.fromkeys(("memory-noise", "memory-size", "memory-swap", "web-zero-shot"), frozenset({"support"})),
    "lifecycle": frozenset({"support", "training"}),
}
"""What a scenario does not deal."""


def lacking(data: str, scenario: str) -> set[str]:
    """Return what a method may need and does not get."""
    return {*_WITHOUT.get(scenario, ()), *(("texts", "prompts") if data == "digits" else ())}


def cases(*, possible: bool) -> Iterator[Any]:
    """Yield a data set, a scenario and a method that gets what it needs, or one that does not.

    On the pack all of them; on the others a scenario once and a method without its variants, whose arithmetic is that
    of the method. Methods that need class texts meet three scenarios on the pack; scenarios that deal few-shot tasks
    and measure more meet a method of each kind.
    """
    texts = [name for name in METHODS.names() if "prompts" in METHODS.get(name).cls.about.needs and name != "zero-shot"]
    if possible:
        some = SCENARIOS[0], SCENARIOS[-2], SCENARIOS[-1]
        for recipe, name in (*product(MEASURED, ("protonet", "tda", "zlap")), *product(some, texts)):
            yield pytest.param("pack", recipe, name, id=f"pack-{recipe.name}-{name}")
    names = [name for name in METHODS.names() if name not in texts]
    plain = [name for name in names if not METHODS.get(name).preset]
    once = {recipe.name: recipe for recipe in reversed(SCENARIOS)}.values()
    for data, recipes, methods in (("pack", SCENARIOS, names), ("digits", once, plain), ("glyphs", once, plain)):
        for recipe, name in product(recipes, methods):
            if possible != bool(lacking(data, recipe.name) & set(method(name).about.needs)):
                yield pytest.param(data, recipe, name, id=f"{data}-{recipe.name}-{name}")


def test_what_is_left_out_lacks_what_it_needs(dealt: Callable[[str, Any], Episode]) -> None:
    left = [case.values for case in cases(possible=False)]
    assert left
    for data, recipe, name in left:
        assert missing_requirement(method(name).about, dealt(data, recipe)), (data, recipe.name, name)


@pytest.mark.parametrize(("data", "recipe", "name"), list(cases(possible=True)))
def test_answers_on_a_card_as_on_the_cpu(
    data: str, recipe: Any, name: str, dealt: Callable[[str, Any], Episode]
) -> None:
    episode = dealt(data, recipe)
    assert missing_requirement(method(name).about, episode) is None
    here = outcomes(name, episode)
    with pretend_cuda():
        there = outcomes(name, episode.to("cuda"))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.predictions, other.predictions.cpu())
        assert torch.equal(one.ranks, other.ranks.cpu())
        torch.testing.assert_close(other.confidences.cpu(), one.confidences, atol=1e-5, rtol=1e-4)
        assert (one.kind, one.exemplars, one.state_bytes) == (other.kind, other.exemplars, other.state_bytes)
