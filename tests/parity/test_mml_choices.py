"""What MML chooses and on what, its starts, and its single-branch unified memory, against naive forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bench.core.memory import Items
from bench.core.registry import METHODS
from bench.core.task import Budget, Session, Task
from bench.functional.attention import Block, integrate, standardise
from bench.functional.classwise import normalise
from bench.learning.modular.training import IMAGE_WEIGHTS, SCALES
from bench.learning.prototypes import prototypes
from bench.utils.random import Stream
from tests import toy

CLASSES = (7, 3, 9)
NAMES = toy.dataset().class_names


def mml(**parameters: Any) -> Any:
    return METHODS.get("mml").cls(**{"k": 3, **parameters})


def session(classes: tuple[int, ...], purpose: str, spread: float = 0.5) -> Session:
    queries = toy.cloud(list(classes), 12, NAMES, purpose, spread=spread)
    return Session(task=toy.task(classes, support=False), queries=queries)


SEEN, OTHER = session((0, 1, 2, 4, 5), "seen"), session((6, 8, 7), "other")


def test_the_zero_start_answers_as_prototypes_alone_do() -> None:
    task, asked = toy.task(CLASSES, support=False), OTHER.queries.x
    found = mml().score(mml().build(task, rng=Stream(0)), asked)
    bare = mml(integration="none")
    torch.testing.assert_close(found, bare.score(bare.build(task, rng=Stream(0)), asked), atol=1e-4, rtol=1e-5)


def test_the_kernel_mean_start_adds_the_kernel_mean_of_the_neighbours() -> None:
    block = Block.initial(16, Stream(0)).at("kernel-mean")
    g = Stream(1).torch()
    f, items = torch.randn(5, 16, generator=g), standardise(torch.randn(5, 4, 16, generator=g))
    weights = torch.softmax((standardise(f).unsqueeze(1) * items).sum(2) / 4, 1)
    expected = 2 * f + (weights.unsqueeze(2) * items).sum(1)
    torch.testing.assert_close(integrate(block, f, items), expected, atol=1e-5, rtol=1e-5)


def test_a_unified_memory_has_one_branch_that_both_kinds_of_prototypes_are_compared_with() -> None:
    task, asked = toy.task(CLASSES, support=False), OTHER.queries.x
    method = mml(memory="unified", start="random")
    state = method.build(task, rng=Stream(0))
    assert state.weights.text is None
    both = torch.cat([task.memory.images.x, task.memory.texts.x])
    near = (normalise(asked) @ normalise(both).T).topk(3).indices
    f = integrate(state.weights.image, normalise(asked) * 10, standardise(normalise(both) * 10)[near])
    cosines = F.normalize(f, dim=1) @ (state.image.prototypes + state.text.prototypes).T
    torch.testing.assert_close(method.score(state, asked), 25 * cosines, atol=1e-3, rtol=1e-4)


def test_few_shot_texts_are_those_in_consensus_with_the_shots() -> None:
    task = toy.task(CLASSES)
    state = mml(prototype_items=1).build(task, rng=Stream(0))
    shots, texts = task.support, task.memory.texts
    _, expected = prototypes(
        shots.x, task.columns(shots.labels), texts.x, task.columns(texts.labels), 3, count=1, rng=Stream(0)
    )
    torch.testing.assert_close(state.text.prototypes, expected)
    web = mml(prototype_items=1).build(toy.task(CLASSES, support=False), rng=Stream(0))
    assert not torch.allclose(web.text.prototypes, expected), "consensus with the memory's images is another"


@pytest.mark.parametrize("by", ["loss", "accuracy"])
def test_the_image_weight_is_the_best_of_the_grid_on_validation_classes(by: Literal["loss", "accuracy"]) -> None:
    bare = mml(integration="none", image_weight="auto", choose_by=by)
    chosen = bare.train(SEEN, OTHER, rng=Stream(0))
    state = bare.build(OTHER.task, rng=Stream(0).child("validation"))
    f = normalise(OTHER.queries.x)
    image, text = f @ state.image.prototypes.T, f @ state.text.prototypes.T
    both = [w * image + text for w in IMAGE_WEIGHTS]
    value = [int((one.argmax(1) == OTHER.targets).sum()) for one in both]
    if by == "loss":
        value = [-min(float(F.cross_entropy(s * one, OTHER.targets)) for s in SCALES) for one in both]
    assert chosen.weights.image_weight == IMAGE_WEIGHTS[value.index(max(value))]
    told = chosen.describe(chosen.build(toy.task(CLASSES, support=False), rng=Stream(0)))
    assert (told["image_weight"], told["chosen_on"]) == (chosen.weights.image_weight, "validation classes")


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_an_image_weight_weighs_the_image_branch(weight: float) -> None:
    task, asked = toy.task(CLASSES, support=False), normalise(OTHER.queries.x)
    state = mml(image_weight=weight).build(task, rng=Stream(0))
    expected = 25 * (weight * asked @ state.image.prototypes.T + asked @ state.text.prototypes.T)
    torch.testing.assert_close(mml(image_weight=weight).score(state, asked), expected, atol=1e-3, rtol=1e-4)


def told_after(training: Session | None, validation: Session | None, task: Task, **parameters: Any) -> dict[str, Any]:
    method = mml(epochs=2, adapt_epochs=2, **parameters)
    if training is not None:
        method = method.train(training, validation, rng=Stream(0))
    found: dict[str, Any] = method.describe(method.build(task, rng=Stream(0)))
    return found


def test_what_was_chosen_on_what_is_in_the_record() -> None:
    unseen = toy.task(CLASSES, support=False)
    keys = ("trained_on", "chosen_on", "epoch", "untrained_start_chosen", "image_weight")

    def of(*given: Any, **named: Any) -> tuple[Any, ...]:
        told = told_after(*given, **named)
        return tuple(told[key] for key in keys)

    # Without validation classes the last epoch counts, and both branches weigh the same.
    assert of(SEEN, None, unseen, image_weight="auto") == ("seen classes", "nothing", 2, False, 1.0)
    # A rate that changes no weight: no epoch is better than the start.
    assert of(SEEN, OTHER, unseen, lr=1e-40) == ("seen classes", "validation classes", 0, True, 1.0)
    assert of(None, None, unseen) == ("no", "nothing", 0, True, 1.0)
    # Six images a class spare one each.
    assert of(None, None, toy.task(CLASSES), lr=1e-40) == ("support", "images held out", 0, True, 1.0)
    # No class spares its only image, so nothing is trained.
    task = toy.task(CLASSES)
    one = replace(task, support=task.support.take([int((task.support.labels == c).nonzero()[0]) for c in CLASSES]))
    assert of(None, None, one, lr=1.0) == ("no", "nothing: no class can spare a labelled image", 0, True, 1.0)


def test_held_out_images_take_no_part_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are neither trained on, nor retrieved, nor in the prototypes they are compared with."""
    from bench.learning.modular.training import Training

    seen: list[tuple[Any, ...]] = []

    def watched(self: Training, forward: Any, state: Any, images: Any, targets: Any, check: Any, **named: Any) -> Any:
        seen.append((state, images, check))
        return fit(self, forward, state, images, targets, check, **named)

    fit = Training.fit
    monkeypatch.setattr(Training, "fit", watched)
    task = toy.task(CLASSES, images=False)
    for budget in (Budget(), Budget(items=60)):
        mml(adapt_epochs=1).build(replace(task, budget=budget), rng=Stream(0))
        state, images, check = seen.pop()
        held = set(check.images.ids)
        assert len(held) == len(CLASSES)
        assert not held & (set(images.ids) | set(state.image.items.ids))
        assert {*held, *images.ids} == set(task.support.ids)
        rest = task.support.take(~torch.tensor([name in held for name in task.support.ids]))
        for column, label in enumerate(CLASSES):
            mean = normalise(rest.of_classes([label]).x).mean(0)
            torch.testing.assert_close(check.state.image.prototypes[column], mean / mean.norm(), atol=1e-5, rtol=1e-5)


def test_a_large_memory_is_prepared_only_where_it_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.learning.modular import forward

    task, asked = toy.task(CLASSES, support=False), OTHER.queries.x[:2]
    method = mml(start="random")
    state = method.build(task, rng=Stream(0))
    whole = method.score(state, asked)
    monkeypatch.setattr(forward, "_FEW", 0)
    few = method._forward.ask(state, asked).image
    assert few is not None
    assert len(few.items) < len(task.memory.images)
    assert torch.equal(method.score(state, asked), whole)


def test_items_keep_the_prototypes_of_a_class_that_brings_no_more_shots() -> None:
    """Without a budget, later sessions deal no support of earlier classes; both their prototypes stay."""
    data, method = toy.dataset(), mml(adapt="never", prototype_items=1)
    first = toy.task((5, 1))
    state = method.build(first, rng=Stream(0))
    later = toy.task((5, 1, 8, 0))
    later = replace(
        later,
        support=data.splits["train"].of_classes((8, 0)),
        memory=data.memory.restrict((8, 0)),
        prompts=later.prompts.of_classes([8, 0]),
        session=1,
    )
    extended = method.extend(state, later, rng=Stream(0))
    assert isinstance(extended.image.items, Items)
    torch.testing.assert_close(extended.image.prototypes[:2], state.image.prototypes)
    torch.testing.assert_close(extended.text.prototypes[:2], state.text.prototypes)
