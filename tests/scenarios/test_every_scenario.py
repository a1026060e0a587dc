"""What holds for every scenario."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.registry import SCENARIOS
from bench.core.task import Episode
from bench.scenarios.few_to_many_shot import FewToManyShot
from bench.scenarios.generalized import Generalized
from bench.scenarios.incremental import Incremental
from bench.scenarios.label_noise import LabelNoise
from bench.scenarios.lifecycle import Lifecycle
from bench.scenarios.long_tail import LongTail
from bench.scenarios.memory_noise import MemoryNoise
from bench.scenarios.memory_size import MemorySize
from bench.scenarios.memory_swap import MemorySwap
from bench.scenarios.open_set import OpenSet
from bench.scenarios.stream import QueryStream
from bench.scenarios.supervised import Supervised
from bench.scenarios.web_zero_shot import WebZeroShot
from bench.utils.errors import BenchError
from bench.utils.params import make
from tests.scenarios.dealt import deals
from tests.toy import dataset

_SPECIAL = (
    FewToManyShot(shots=(1, 2, 4)),
    FewToManyShot(shots=(1, 2), way=3, episodes=4, queries=2),
    FewToManyShot(shots=(1, 2), seen=0.5, validation=0.2),
    Incremental(),
    LabelNoise(rates=(0.0, 0.4)),
    LabelNoise(memory="held-out", kind="asymmetric"),
    Lifecycle(),
    MemoryNoise(),
    MemoryNoise(kind="off-topic", where=("both", "prototypes", "retrieval"), seen=0),
    MemorySize(),
    MemorySwap(),
    MemorySwap(modality="both", seen=0),
    Supervised(),
    Supervised(memory="rest"),
    WebZeroShot(),
    WebZeroShot(duplicates=0.9),
)
"""Scenarios with the ways in which they deal differently."""

_BARE = (LabelNoise(rates=(0.0, 0.4)), Incremental(), Supervised(), OpenSet(), LongTail(), QueryStream())
"""Those with a setting for the memory where nothing stands in for one that is missing."""

ALL = (
    *_SPECIAL,
    *(make(SCENARIOS.get(n).cls, n, {}) for n in SCENARIOS.names() if n not in {r.name for r in _SPECIAL}),
)
"""Every scenario: those above, and any other with its defaults."""


def test_every_scenario_is_tested_here() -> None:
    assert {recipe.name for recipe in ALL} == set(SCENARIOS.names())


@pytest.mark.parametrize("name", SCENARIOS.names())
def test_a_scenario_is_a_file_of_sixty_lines(name: str) -> None:
    source = inspect.getsourcefile(SCENARIOS.get(name).cls)
    assert source is not None
    assert len(Path(source).read_text().splitlines()) <= 60


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("few-to-many-shot", "shots"),
        ("label-noise", "rates"),
        ("memory-noise", "rates"),
        ("memory-noise", "where"),
        ("memory-size", "sizes"),
        ("memory-swap", "pairs"),
    ],
)
def test_no_condition_at_all_is_refused(name: str, parameter: str) -> None:
    with pytest.raises(BenchError, match="at least 1 item"):
        make(SCENARIOS.get(name).cls, name, {parameter: []})


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
@pytest.mark.parametrize("images", [True, False], ids=["declared", "stand-in"])
def test_no_query_is_in_support_memory_training_or_validation(recipe: Any, images: bool) -> None:
    data = dataset(images=images)
    # A query that is a copy of a support image, and one of a memory image, must not be asked.
    test = data.splits["test"]
    x = test.x.clone()
    x[0] = data.splits["train"].x[0]
    if images:
        x[7] = data.memory.images.x[5]
    leaky = replace(data, splits={**data.splits, "test": replace(test, x=x)})
    for _, episode in deals(recipe, leaky):
        for session in episode.sessions:
            asked = set(session.queries.row_digests.tolist())
            held = session.task.memory.images
            used = set(session.task.support.row_digests.tolist())
            used |= set(replace(test, x=held.x, labels=held.labels, ids=held.ids).row_digests.tolist())
            assert asked
            assert not asked & used
            if episode.training is not None:
                assert not asked & set(episode.training.queries.row_digests.tolist())
            if episode.validation is not None:
                assert not asked & set(episode.validation.queries.row_digests.tolist())


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_all_conditions_ask_the_same_queries_and_a_seed_deals_the_same_again(recipe: Any) -> None:
    data = dataset()
    first, again, other = deals(recipe, data), deals(recipe, data), deals(recipe, data, seed=1)
    asked = {tuple(s.queries.fingerprint for s in episode.sessions) for _, episode in first}
    assert len(asked) == 1

    def prints(dealt: list[tuple[Mapping[str, Any], Episode]]) -> list[tuple[str, ...]]:
        return [
            (s.task.support.fingerprint, s.task.memory.fingerprint, s.queries.fingerprint, str(s.task.classes))
            for _, episode in dealt
            for s in episode.sessions
        ]

    assert prints(first) == prints(again)
    assert prints(first) != prints(other) or isinstance(recipe, (MemorySwap, MemoryNoise, Supervised))
    for condition, _ in first:
        json.dumps(condition)


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_notes_say_what_stands_in_for_a_memory(recipe: Any) -> None:
    for _, episode in deals(recipe, dataset(images=False)):
        note = episode.sessions[0].notes.get("memory", "support")
        assert note != "declared"


SPLITTING = [recipe for recipe in ALL if getattr(recipe, "seen", 0) and not isinstance(recipe, Generalized)]


@pytest.mark.parametrize("recipe", SPLITTING, ids=lambda r: r.name)
def test_class_splits_are_disjoint(recipe: Any) -> None:
    data = dataset()
    for given in (data, replace(data, class_split={"seen": (1, 3, 5), "validation": (0, 2), "unseen": (4, 6, 8)})):
        for _, episode in deals(recipe, given):
            assert episode.training is not None
            assert episode.validation is not None
            parts = [set(s.task.classes) for s in (episode.training, episode.validation, episode.sessions[0])]
            target = {c for s in episode.sessions for c in s.task.classes}
            assert not parts[0] & parts[1]
            assert not parts[0] & target
            assert not parts[1] & target
            if given.class_split:
                assert parts[:2] == [{1, 3, 5}, {0, 2}]
                assert target <= {4, 6, 8}


def test_a_class_in_two_parts_of_a_split_is_refused_by_name() -> None:
    data = replace(dataset(), class_split={"seen": (1, 3, 5), "validation": (0, 2), "unseen": (4, 5, 8)})
    for recipe in (WebZeroShot(), MemorySize(), FewToManyShot(seen=0.5)):
        with pytest.raises(BenchError, match="'class 5' is in two parts"):
            deals(recipe, data)


def test_a_class_in_two_parts_of_a_split_is_refused_before_anything_is_dealt() -> None:
    data = replace(dataset(), class_split={"seen": (1, 3, 5), "validation": (0, 2), "unseen": (4, 5, 8)})
    for recipe in ALL:
        if getattr(recipe, "seen", 0):
            with pytest.raises(BenchError, match="'class 5' is in two parts"):
                list(recipe.conditions(data))
        else:
            assert list(recipe.conditions(data))


@pytest.mark.parametrize(
    "recipe", [r for r in ALL if hasattr(r, "memory") and not isinstance(r, FewToManyShot)], ids=lambda r: r.name
)
def test_conditions_say_what_is_left_out_and_what_stands_in_for_a_memory(recipe: Any) -> None:
    """A condition stands in every table, so none can be read as one about the data set as it is."""
    for condition in recipe.conditions(dataset()):
        said = {"classes", "memory"} & set(condition)
        assert not said or condition["memory"] in ("held-out support", "rest of the support")
    texts = dataset().memory.texts.of_classes(range(8))
    data = dataset(images=False)
    data = replace(data, memory=data.memory.replace(texts=texts), prompts=data.prompts.of_classes(list(range(8))))
    for condition in replace(recipe, classes="with-texts").conditions(data):
        assert condition["classes"] == "with-texts"
        assert ("memory" in condition) != (recipe in _BARE)
        json.dumps(condition)


@pytest.mark.parametrize(
    "recipe",
    [
        FewToManyShot(memory="declared"),
        Incremental(memory="declared"),
        LabelNoise(memory="declared"),
        Supervised(memory="declared"),
    ],
    ids=lambda r: r.name,
)
def test_a_declared_memory_that_is_not_there_is_refused(recipe: Any) -> None:
    with pytest.raises(BenchError, match=rf"declares no image memory and {recipe.name}.memory=declared asks for it"):
        list(recipe.conditions(dataset(images=False)))
    assert list(replace(recipe, **({"shots": (1, 2)} if "few" in recipe.name else {})).conditions(dataset()))


@pytest.mark.parametrize("recipe", [Incremental(shots=2), LabelNoise(shots=2), Supervised(shots=2)])
def test_shots_of_a_class_without_images_are_refused_by_its_name(recipe: Any) -> None:
    data = dataset(images=False)
    few = data.splits["train"].of_classes([c for c in range(10) if c != 3])
    data = replace(data, splits={**data.splits, "train": few})
    with pytest.raises(BenchError, match=r"2 shots are wanted but class 'class 3' has 0 images; give it some"):
        deals(recipe, data)
