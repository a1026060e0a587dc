"""lp++, clap, zs-lp, cross-modal-probe, real-linear and neural-priming against torch's own optimisers and formulas."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bench.functional.classwise import class_means, class_sums, normalise
from bench.learning.class_texts import prompt_matrix
from bench.learning.training import WarmUp, as_parameter, fit
from bench.methods.real_linear import best_of_class
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import few_shot, make, queries, scores


def hard():
    """Return a task whose images lie far from their texts, so that training moves what it trains."""
    task = few_shot()
    spread = toy.cloud([7, 3, 9], 6, toy.dataset().class_names, "hard", 0.5)
    return dataclasses.replace(task, support=spread)


def test_lp_plus_plus_is_the_codes_training_by_autograd() -> None:
    """As linear_probe_p2.py has it: torch's SGD on w and b, a gradient of alpha that is never reset."""
    task = hard()
    x, columns, texts = normalise(task.support.x), task.columns(task.support.labels), prompt_matrix(task)
    state = make("lp++", epochs=35).build(task, rng=Stream(0))
    head = torch.nn.Linear(toy.DIMENSION, 3)
    bound = 1 / math.sqrt(toy.DIMENSION)
    with torch.no_grad():
        head.weight.copy_(class_sums(x, columns, 3))
        drawn = torch.empty(3).uniform_(-bound, bound, generator=Stream(0).child("biases").torch())
        head.bias.copy_(drawn)
    own = torch.stack([(x[columns == c] @ texts[c]).mean() for c in range(3)])
    alpha = torch.full((1, 3), float(250 * own.mean()), requires_grad=True)
    rate = float(4 * len(x) / np.linalg.eigvalsh((x.T @ x).double().numpy())[-1])
    optimiser = torch.optim.SGD(head.parameters(), rate, momentum=0.9)
    alpha_rate = len(x) / (4 * (x @ texts.T).square().sum(0).max())
    for epoch in range(35):
        loss = F.cross_entropy(head(x) + alpha * (x @ texts.T), columns)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (epoch + 1) % 10 == 0:
            alpha.data -= alpha_rate * alpha.grad.data
    torch.testing.assert_close(state.linear.weights, head.weight.detach(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(state.alpha, alpha.detach()[0], atol=1e-2, rtol=1e-3)
    asked = queries()
    expected = head(asked) + alpha * (asked @ texts.T)
    torch.testing.assert_close(make("lp++").score(state, asked), expected.detach(), atol=1e-2, rtol=1e-3)


def test_lp_plus_plus_keeps_the_later_of_the_best_epochs_on_a_validation_split() -> None:
    task = hard()
    split = toy.dataset().splits["val"].of_classes(task.classes)
    state = make("lp++", epochs=25).build(dataclasses.replace(task, choose_on=split), rng=Stream(0))
    right = []
    for epochs in range(1, 26):
        found = scores("lp++", task, split.x, epochs=epochs).argmax(1)
        right.append(int((found == task.columns(split.labels)).sum()))
    assert state.epoch == 25 - right[::-1].index(max(right))
    assert state.chosen_on == len(split)


@pytest.mark.parametrize(("name", "penalised"), [("clap", True), ("zs-lp", False)])
def test_clap_is_the_codes_training_on_texts_of_norm_s(name: str, penalised: bool) -> None:
    """Trained in the code's own scale: texts of norm s, rate 0.1, |w - t|^2 as it is."""
    task, s = hard(), 5.0
    x, columns, texts = normalise(task.support.x), task.columns(task.support.labels), prompt_matrix(task)
    state = make(name, text_norm=s, epochs=4).build(task, rng=Stream(0))
    p = (100 * x @ texts.T).softmax(1)
    pull = torch.stack([p[columns == c, c].mean() for c in range(3)])
    weights = as_parameter(s * texts)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        value = F.cross_entropy(100 * x[rows] @ normalise(weights).T, columns[rows])
        gap = (pull * (weights - s * texts).square().sum(1)).mean()
        return value + gap if penalised else value

    fit(
        [weights],
        loss,
        len(x),
        owner="naive",
        optimiser=torch.optim.SGD([weights], lr=0.1, momentum=0.9),
        epochs=4,
        batch=256,
        cosine=True,
        warm_up=WarmUp(1, 1e-5, rising=False),
        rng=Stream(0).child("fit"),
    )
    torch.testing.assert_close(state.weights, normalise(weights.detach()), atol=1e-5, rtol=1e-5)
    assert not torch.equal(state.weights, texts)


@pytest.mark.parametrize(("rising", "first"), [(True, [0.1, 0.55]), (False, [0.1, 0.1])])
def test_a_warm_up_rises_or_stays_and_the_cosine_begins_after_it(rising: bool, first: list[float]) -> None:
    weight, rates = as_parameter(torch.zeros(1)), []
    optimiser = torch.optim.SGD([weight], lr=1.0)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        rates.append(optimiser.param_groups[0]["lr"])
        return weight.sum() * 0

    warm = WarmUp(2, 0.1, rising=rising)
    fit([weight], loss, 1, owner="x", optimiser=optimiser, epochs=6, batch=1, rng=Stream(0), cosine=True, warm_up=warm)
    assert rates == pytest.approx([*first, *[(1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)]])


def test_cross_modal_probe_and_real_linear_are_adamw_on_images_and_texts_half_each() -> None:
    task = hard()
    texts = prompt_matrix(task)
    for name, batch, share in (("cross-modal-probe", 8, 1.0), ("real-linear", 4, 0.5)):
        given = {"batch": batch, "steps": 9, "lr": 1e-2}
        state = make(name, **given).build(task, rng=Stream(0))
        x, columns = normalise(task.labelled.x), task.columns(task.labelled.labels)
        if name == "real-linear":
            kept = (x * texts[columns]).sum(1) >= 0
            x, columns = x[kept], columns[kept]
        rows = batch // 2 if name == "cross-modal-probe" else batch
        order = torch.from_numpy(Stream(0).child("texts").permutation(3))
        beside = order[torch.arange(len(x)) % 3]
        weights = as_parameter(texts)
        steps = 9 if name == "cross-modal-probe" else min(9, 10 * len(x) // batch)
        a_epoch = math.ceil(len(x) / rows)
        epochs, warm, step = math.ceil(steps / a_epoch), min(50, steps // 2), 0
        total = epochs * a_epoch
        optimiser = torch.optim.AdamW([weights], lr=1e-2, weight_decay=0.01)
        for epoch in range(1, epochs + 1):
            for part in torch.from_numpy(Stream(0).child("fit", "order", epoch).permutation(len(x))).split(rows):
                low = 1e-5 / 1e-2
                rising = low + (1 - low) * step / warm if step < warm else None
                falling = (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
                optimiser.param_groups[0]["lr"] = 1e-2 * (falling if rising is None else rising)
                z = torch.cat([x[part], texts[beside[part]]])
                y = torch.cat([columns[part], beside[part]])
                optimiser.zero_grad()
                F.cross_entropy(100 * z @ weights.T, y).backward()
                optimiser.step()
                step += 1
        expected = share * weights.detach() + (1 - share) * texts
        found = make(name, **given).score(state, queries())
        torch.testing.assert_close(found, 100 * queries() @ expected.T, atol=1e-3, rtol=1e-4)


def test_wise_ft_is_half_head_half_texts() -> None:
    task = hard()
    plain, half = (
        make(name, steps=8).build(task, rng=Stream(0)) for name in ("cross-modal-probe", "cross-modal-wise-ft")
    )
    found = make("cross-modal-wise-ft").score(half, queries())
    torch.testing.assert_close(found, 100 * queries() @ ((plain.weights + plain.texts) / 2).T)


def test_items_of_a_class_are_ranked_by_cosine_and_none_is_below_zero() -> None:
    cosines = torch.tensor([0.1, 0.9, -0.2, 0.5, 0.5, 0.3])
    columns = torch.tensor([0, 0, 0, 1, 1, 1])
    assert best_of_class(cosines, columns, 2, 3).tolist() == [True, True, False, True, True, False]
    assert best_of_class(cosines, columns, 1, 3).tolist() == [False, True, False, True, False, False]
    assert best_of_class(cosines, columns, 9, 3).tolist() == [True, True, False, True, True, True]


def test_neural_priming_equals_the_formula_and_takes_web_items_without_labels() -> None:
    task = toy.task((7, 3, 9), support=False)
    texts = prompt_matrix(task)
    means = normalise(class_means(normalise(task.memory.images.x), task.columns(task.memory.images.labels), 3))
    expected = 100 * queries() @ (0.7 * texts + 0.3 * means).T
    torch.testing.assert_close(
        scores("neural-priming", task, queries(), text_weight=0.7), expected, atol=1e-4, rtol=1e-5
    )
    some = dataclasses.replace(task, memory=task.memory.replace(images=task.memory.images.of_classes([7, 9])))
    zero = scores("neural-priming", some, queries(), without_images="zero")
    torch.testing.assert_close(zero[:, 1], 90 * queries() @ texts[1], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(
        scores("neural-priming", some, queries())[:, 1], 100 * queries() @ texts[1], atol=1e-4, rtol=1e-5
    )
