"""LwF, Replay, FOSTER and iCaRL: their losses against the formulas, and forgetting where it must be."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel
from torch.nn import functional as F  # noqa: N812

from bench.core.task import Budget, Task
from bench.functional.classwise import herd, normalise
from bench.learning.exemplars import cut
from bench.learning.session_loss import session_loss, softened
from bench.methods.foster import Boosted, balance
from bench.utils.random import Stream
from tests import toy
from tests.forgetting import on_first_classes
from tests.parity._naive import make

ORDER = (5, 1, 8, 0, 2, 7)
TRAINERS = ("lwf", "replay", "foster", "icarl")


def session(number: int, budget: int | None = 12, spread: float = 0.12) -> Task:
    """Return a session of two classes; the toy's classes overlap as ``spread`` grows."""
    names = toy.dataset().class_names
    new = ORDER[2 * number : 2 * number + 2]
    return dataclasses.replace(
        toy.task(ORDER[: 2 * number + 2], images=False),
        support=toy.cloud(list(new), 8, names, f"session {number}", spread),
        budget=Budget(items=budget),
        session=number,
    )


def lived(name: str, budget: int | None, seed: int = 0, spread: float = 0.12, **parameters: float) -> tuple:
    """Return a method and its states after each of three sessions."""
    method, states = make(name, hidden=16, **parameters), []
    for number in range(3):
        task, rng = session(number, budget, spread), Stream(seed).child(number)
        states.append(method.extend(states[-1], task, rng=rng) if number else method.build(task, rng=rng))
    return method, states


def test_distillation_equals_a_loop() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    new, old = torch.from_numpy(rng.standard_normal((4, 3))), torch.from_numpy(rng.standard_normal((4, 3)))
    expected = 0.0
    for a, b in zip(new.tolist(), old.tolist(), strict=True):
        p = [math.exp(v / 2) for v in b]
        q = [math.exp(v / 2) for v in a]
        expected -= sum(x / sum(p) * math.log(y / sum(q)) for x, y in zip(p, q, strict=True)) / 4
    columns, soft = torch.tensor([0, 2, 1, 0]), softened(old, 2.0)
    plain = F.cross_entropy(new, columns)
    found = session_loss(new, columns, soft, temperature=2.0, share=3.0)
    assert float(found - plain) / 3 == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("first", "known", "weighed"), [(0, 3, False), (0, 3, True), (3, 3, False), (0, 0, False)])
def test_the_loss_of_a_session_and_its_gradient_are_those_of_its_parts(first: int, known: int, weighed: bool) -> None:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=g, dtype=torch.float64, requires_grad=True)
    old, columns = torch.randn(6, known, generator=g, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1, 0])
    weights = torch.rand(5, generator=g, dtype=torch.float64) + 0.5 if weighed else None
    plain = F.cross_entropy((logits / weights if weighed else logits)[:, first:], columns)
    if known:
        soft = (old / 2).softmax(1)
        plain = plain - 3 * (soft * (logits[:, :known] / 2).log_softmax(1)).sum(1).mean()
    soft = softened(old, 2.0) if known else None
    ours = session_loss(logits, columns, soft, temperature=2.0, share=3.0, first=first, weights=weights)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    grads = [torch.autograd.grad(2 * value, logits)[0] for value in (ours, plain)]
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


def test_effective_numbers_equal_the_formula() -> None:
    counts = [1, 5, 40]
    weights = [(1 - 0.96) / (1 - 0.96**n) for n in counts]
    expected = [w * 3 / sum(weights) for w in weights]
    torch.testing.assert_close(balance(torch.tensor(counts), 0.96), torch.tensor(expected), atol=1e-6, rtol=1e-6)
    with_none = balance(torch.tensor([1, 0, 5, 40]), 0.96)
    torch.testing.assert_close(with_none, torch.tensor([expected[0], 1.0, *expected[1:]]), atol=1e-6, rtol=1e-6)


def test_lwf_neither_moves_old_logits_nor_keeps_images_where_distillation_is_strong() -> None:
    x = session(1).support.x
    method, first = make("lwf", hidden=16, distillation=50.0), None
    first = method.build(session(0), rng=Stream(0))
    held = method.extend(first, session(1), rng=Stream(1))
    free = make("lwf", hidden=16, distillation=0.0).extend(first, session(1), rng=Stream(1))

    def moved(state: object) -> float:
        old, new = first.logits(x).softmax(1), state.logits(x)[:, :2].softmax(1)  # type: ignore[attr-defined]
        return float((old - new).abs().max())

    assert moved(held) < 0.1
    assert moved(held) < moved(free)


def test_foster_boosting_starts_from_the_old_logits() -> None:
    net = make("foster", hidden=16).build(session(0), rng=Stream(0)).net
    wide = net.grow(4, Stream(1))
    start = Boosted(net, wide, torch.cat([wide.head, torch.zeros(4, toy.DIMENSION)], 1), wide.head_bias)
    x = session(1).support.x
    torch.testing.assert_close(start.logits(net.fixed(x), net.embed(x))[0][:, :2], net.logits(x))


@pytest.mark.parametrize("name", ["replay", "foster", "icarl"])
def test_exemplars_stay_in_the_budget_and_are_the_herded_ones(name: str) -> None:
    _, states = lived(name, 12, epochs=2, min_steps=2)
    for number, state in enumerate(states):
        quota = 12 // (2 * number + 2)
        labels, counts = state.exemplars.labels.unique(return_counts=True)
        assert sorted(labels.tolist()) == sorted(ORDER[: 2 * number + 2])
        assert (counts == quota).all()
    last, data = states[2], session(2).support
    for label in ORDER[4:]:
        own = data.of_classes([label])
        chosen = own.ids[herd(normalise(last.net.embed(own.x)), 2).numpy()]
        assert last.exemplars.of_classes([label]).ids.tolist() == chosen.tolist()
    # An old class loses the tail of its list.
    before = states[1].exemplars.take(cut(states[1].exemplars.labels, 2))
    assert set(before.ids) <= set(last.exemplars.ids)


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("depth", ["head", "adapter"])
def test_both_depths_learn_the_new_session(name: str, depth: str) -> None:
    method, states = lived(name, 24, depth=depth)
    x, labels = session(2).support.x, session(2).support.labels
    # LwF trains the new classes against each other only; whether they win over old ones is another matter.
    first = 4 if name == "lwf" else 0
    answers = torch.tensor(ORDER[first:])[method.score(states[2], x)[:, first:].argmax(1)]
    assert (answers == labels).float().mean() > 0.8
    adapter = states[2].inner if name == "lwf" else states[2].net.inner
    assert len(adapter) == (16 if depth == "adapter" else 0)


def right_of_old_classes(name: str, budget: int | None, seed: int) -> float:
    method, states = lived(name, budget, seed, 0.35, epochs=40, min_steps=40)
    queries = toy.cloud(list(ORDER[:2]), 60, toy.dataset().class_names, f"old {seed}", 0.35)
    answers = torch.tensor(ORDER)[method.score(states[2], queries.x).argmax(1)]
    return float((answers == queries.labels).float().mean())


def test_forgetting_is_visible_without_exemplars_and_shrinks_with_the_budget() -> None:
    """Accuracy on the first session's classes after the last session, paired by seed."""
    seeds = range(5)
    none = [right_of_old_classes("replay", 0, s) for s in seeds]
    few = [right_of_old_classes("replay", 12, s) for s in seeds]
    all_kept = [right_of_old_classes("replay", 48, s) for s in seeds]
    assert ttest_rel(few, none, alternative="greater").pvalue < 0.01
    assert ttest_rel(all_kept, none, alternative="greater").pvalue < 0.01
    assert np.mean(all_kept) >= np.mean(few)
    no_images = [right_of_old_classes("lwf", 48, s) for s in seeds]
    assert ttest_rel(all_kept, no_images, alternative="greater").pvalue < 0.01


QUICK = {"incremental.increment": 5, "incremental.shots": 20}
PARAMETERS = {"epochs": 10, "min_steps": 30, "hidden": 16, "lr": 3e-3}
SEEDS = 3


@pytest.mark.parametrize("name", ["replay", "foster", "icarl"])
def test_digits_are_forgotten_without_exemplars_and_less_with_more(name: str) -> None:
    """Accuracy on the first five digits after the other five, paired by seed; a class keeps 0, 1 or 10 images."""
    settings = QUICK | {f"{name}.{key}": value for key, value in PARAMETERS.items()}
    (first, none), (_, few), (_, many) = (on_first_classes("digits", name, b, settings, SEEDS) for b in (0, 10, 100))
    # Without exemplars iCaRL has no class means, so it never knew what it could forget.
    assert name == "icarl" or np.mean(first) > 0.8
    assert np.mean(none) < 0.25
    assert ttest_rel(few, none, alternative="greater").pvalue < 0.05
    assert ttest_rel(many, none, alternative="greater").pvalue < 0.05
    # FOSTER's effective numbers hold the old classes from the first exemplar on, at the cost of the new ones.
    assert name == "foster" or ttest_rel(many, few, alternative="greater").pvalue < 0.05


def test_digits_are_forgotten_under_distillation_alone() -> None:
    settings = QUICK | {f"lwf.{key}": value for key, value in PARAMETERS.items()}
    # The seeds differ widely in how much they lose, so it takes more of them.
    first, last = on_first_classes("digits", "lwf", 100, settings, 2 * SEEDS)
    assert ttest_rel(first, last, alternative="greater").pvalue < 0.05
