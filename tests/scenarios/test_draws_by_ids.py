"""The same images under another name, in another order of rows or in another encoder's space meet the same draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.dataset import Dataset
from bench.core.rows import Rows
from bench.core.task import Episode
from bench.runner.deal import deal_episode
from bench.runner.handover import Handover
from bench.runner.plan import EpisodeSpec
from bench.runner.recipes import LabelledRecipe
from bench.utils.random import Stream
from tests.scenarios.test_every_scenario import ALL
from tests.toy import DIMENSION, dataset


def another(data: Dataset) -> Dataset:
    """Return the same images under another name, rows shuffled, in a space of other axes and one dimension more."""
    draw = Stream(9).child("another").numpy()
    turned = torch.from_numpy(np.linalg.qr(draw.standard_normal((DIMENSION + 1, DIMENSION)))[0]).float()

    def moved(rows: Any) -> Any:
        return replace(rows, x=rows.x @ turned.T).take(torch.from_numpy(draw.permutation(len(rows))))

    return replace(
        data,
        card=replace(data.card, name="other", encoder="other", space="other"),
        splits={name: moved(split) for name, split in data.splits.items()},
        prompts=moved(data.prompts),
        memory=data.memory.replace(images=moved(data.memory.images), texts=moved(data.memory.texts)),
    )


def dealt(recipe: Any, data: Dataset) -> list[tuple[Any, Episode]]:
    named = LabelledRecipe(recipe.name, recipe)
    conditions = list(recipe.conditions(data))
    return [(c, deal_episode(EpisodeSpec(named, data, None, c, 0, {}))) for c in conditions]


def labelled(rows: Rows) -> dict[str, int]:
    return dict(zip(rows.ids.tolist(), rows.labels.tolist(), strict=True))


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_another_encoder_of_the_same_images_meets_the_same_problem(recipe: Any) -> None:
    data = dataset(per_class=8)
    for (condition, ours), (same, theirs) in zip(dealt(recipe, data), dealt(recipe, another(data)), strict=True):
        assert condition == same
        first, second = Handover(ours, 0), Handover(theirs, 0)
        for number, (a, b) in enumerate(zip(ours.sessions, theirs.sessions, strict=True)):
            assert a.task.classes == b.task.classes
            assert labelled(a.task.support) == labelled(b.task.support)
            assert labelled(a.task.memory.images) == labelled(b.task.memory.images)
            assert labelled(a.task.memory.texts) == labelled(b.task.memory.texts)
            assert labelled(a.queries) == labelled(b.queries)
            assert labelled(a.asked) == labelled(b.asked)
            # What methods are handed comes in the same order, too.
            given, other = first.nameless(a.task), second.nameless(b.task)
            assert given.support.ids.tolist() == other.support.ids.tolist()
            orders = [h.blocks[number].order.numpy() for h in (first, second)]
            assert a.asked.ids[orders[0]].tolist() == b.asked.ids[orders[1]].tolist()
        for part in ("training", "validation"):
            one, two = getattr(ours, part), getattr(theirs, part)
            assert (one is None) == (two is None)
            if one is not None:
                assert labelled(one.queries) == labelled(two.queries)
                assert one.task.classes == two.task.classes


def test_shots_of_two_encoders_stand_in_one_order() -> None:
    from bench.scenarios.supervised import Supervised

    data = dataset(per_class=8)
    ours, theirs = (dealt(Supervised(shots=3), d)[0][1].sessions[0].task.support for d in (data, another(data)))
    assert ours.ids.tolist() == theirs.ids.tolist()
