"""``mml-official`` against figures of the official code on a seeded input.

The figures were printed by github.com/dahyun-kang/mml at commit f607f84e2e96dd03033440a7d5b7f57c7ee7a309:
``_load_prototype``, ``forward`` and ``forward_addknn`` of ``model/mmlearner.py`` with the block of
``model/transformer.py`` and the optimiser of ``model/mmltrainer.py``, on torch 2.15, with k = 4 and the weights and
features of :func:`drawn`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.registry import METHODS
from bench.core.task import Session, Task
from bench.functional.attention import Block
from bench.functional.classwise import normalise
from bench.learning.half_adam import HalfAdam
from bench.learning.modular.state import Weights
from bench.utils.errors import BenchError
from bench.utils.random import Stream

D, C, K = 32, 5, 4
NAMES = tuple(f"class {c}" for c in range(C))
SHOWN = [0, 70, 140, 210, 280]

ANSWERS = {
    "memory": "000003000000040000000000401100000040304003000203400000000001"
    "121111111101032111111211111211111122011111111411110111311111"
    "222222222222222222222222222203212232222202222222222211322222"
    "233333343333343333332334234333323343333133321333323333433332"
    "444444444444244442444444434404444434044444444444444444444444",
    "shots": "040003001000041010000001001100000040310040100203400000001101"
    "124111111104012111111211111111111122111103101401011111311111"
    "222222222222222222222422222202212222222222222222222201322122"
    "133333333333343233333334234433323232333132323333333133433332"
    "444234044440244442444444434404444434014444044444444444444434",
}
"""The columns answered by the official code in float32, and in float16, 60 queries of a class a line."""
MEANS = {
    "memory": [1.12586, 0.37629, 1.18219, 1.70655, 0.37783],
    "shots": [1.05877, 0.52059, 0.30735, 1.29353, -0.20357],
}
SCORES = {
    ("memory", "float32"): [
        [15.40888, 5.48701, 1.27279, -3.28645, -2.11938],
        [7.92588, 6.0643, -2.65814, -3.70876, 4.29],
        [-9.85006, -1.13544, 15.19592, 6.53815, -8.83457],
        [-8.26191, -5.64637, 2.64246, 14.46932, 3.68473],
        [-6.77531, -7.70725, 1.63124, 3.45506, 6.67062],
    ],
    ("memory", "float16"): [
        [15.40625, 5.48438, 1.27344, -3.28711, -2.11523],
        [7.92969, 6.06641, -2.6582, -3.70898, 4.28906],
        [-9.85156, -1.13672, 15.20312, 6.54688, -8.83594],
        [-8.26562, -5.64844, 2.64844, 14.46875, 3.67969],
        [-6.77734, -7.70312, 1.63086, 3.45508, 6.67188],
    ],
    ("shots", "float32"): [
        [10.98009, 4.73398, 0.48231, -4.96327, -4.17511],
        [9.97061, 5.51466, -6.29772, -7.25158, 3.59759],
        [-9.52632, 2.98756, 12.29702, 3.44133, -10.2481],
        [-6.55376, -3.63239, 3.65458, 13.49176, -1.06643],
        [-5.75325, -6.26118, 1.49794, 1.38164, 5.19521],
    ],
    ("shots", "float16"): [
        [10.97656, 4.73047, 0.4834, -4.96484, -4.17188],
        [9.96875, 5.51562, -6.29688, -7.25, 3.59766],
        [-9.53125, 2.99023, 12.29688, 3.44531, -10.24219],
        [-6.55469, -3.63086, 3.65625, 13.48438, -1.06738],
        [-5.75391, -6.25781, 1.49609, 1.37891, 5.19531],
    ],
}
ADDED_MEAN = [[21.17577, 11.22448, 5.71614, -0.18174, 2.07694], [12.84859, 11.745, -0.90697, -3.59988, 6.50183]]
LOSSES = {1: 0.77490, 2: 0.71045, 3: 0.65674, 38: 0.05402, 39: 0.05130, 40: 0.04877}


@dataclass
class Drawn:
    """Features of norms 9 to 11, in half precision, as an encoder gives them, and one block a branch."""

    images: Features
    texts: Features
    shots: Features
    queries: Features
    weights: Weights


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    g = np.random.Generator(np.random.PCG64(16))
    centre = g.standard_normal((C, D))

    def cloud(n: int, spread: float, shift: Any, name: str) -> Features:
        y = np.repeat(np.arange(C), n)
        x = centre[y] + spread * g.standard_normal((len(y), D)) + shift
        x = x / np.linalg.norm(x, axis=1, keepdims=True) * (9 + 2 * g.random((len(y), 1)))
        ids = np.array([f"{name}/{row}" for row in range(len(y))])
        return Features(torch.from_numpy(x).half(), torch.from_numpy(y), ids, NAMES)

    off = g.standard_normal(D)
    parts = [cloud(24, 2.0, 0, "image"), cloud(20, 2.0, off, "text"), cloud(6, 2.0, 0, "shot"), cloud(60, 2.6, 0, "q")]
    g = np.random.Generator(np.random.PCG64(17))
    vectors = ("norm_query_weight", "norm_query_bias", "norm_key_weight", "norm_key_bias", "norm_value_weight")
    shapes: list[tuple[str, tuple[int, ...]]] = [(name, (D,)) for name in (*vectors, "norm_value_bias")]
    shapes += [(f"{part}_{what}", (D, D)[: 2 - (what == "bias")]) for part in ("query", "key", "value", "out")
               for what in ("weight", "bias")]  # fmt: skip
    shapes += [("norm_mlp_weight", (D,)), ("norm_mlp_bias", (D,)), ("fc_weight", (4 * D, D)), ("fc_bias", (4 * D,))]
    shapes += [("proj_weight", (D, 4 * D)), ("proj_bias", (D,))]

    def block() -> Block:
        found = {}
        for name, shape in shapes:
            x = g.standard_normal(shape) * (0.1 if len(shape) == 1 else 1 / np.sqrt(shape[1]))
            gain = name.startswith("norm") and name.endswith("weight")
            found[name] = torch.from_numpy(1 + x if gain else x).half()
        return Block(**found)

    return Drawn(*parts, Weights(block(), block()))


def task(drawn: Drawn, *, few: bool = False) -> Task:
    memory = Memory(Items.of_features(drawn.images, "web"), Items.of_features(drawn.texts, "web"))
    none = Features.empty(D, NAMES)
    support = drawn.shots if few else none
    return Task(classes=tuple(range(C)), class_names=NAMES, support=support, memory=memory, prompts=none)


def official(**parameters: Any) -> Any:
    entry = METHODS.get("mml-official")
    return entry.cls(**{**entry.preset, "k": K, **parameters})


def scored(drawn: Drawn, prototypes: str, precision: str) -> torch.Tensor:
    weights = drawn.weights.map(lambda w: w.to(getattr(torch, precision)))
    method = replace(official(adapt="never"), weights=weights)
    state = method.build(task(drawn, few=prototypes == "shots"), rng=Stream(0))
    assert state.norm is None, "features of norm 9 to 11 are taken as they are"
    found: torch.Tensor = method.score(state, drawn.queries.x)
    return found


@pytest.mark.parametrize("prototypes", ["memory", "shots"])
def test_scores_and_answers_in_float32(drawn: Drawn, prototypes: str) -> None:
    found = scored(drawn, prototypes, "float32")
    torch.testing.assert_close(found[SHOWN], torch.tensor(SCORES[prototypes, "float32"]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.mean(0), torch.tensor(MEANS[prototypes]), rtol=1e-5, atol=1e-5)
    assert "".join(map(str, found.argmax(1).tolist())) == ANSWERS[prototypes]


@pytest.mark.parametrize("prototypes", ["memory", "shots"])
def test_scores_and_answers_in_float16(drawn: Drawn, prototypes: str) -> None:
    """The official float16 run gives the answers of its float32 run; three of its searches meet a tie in float16."""
    found = scored(drawn, prototypes, "float16")
    expected = torch.tensor(SCORES[prototypes, "float16"])
    assert ((found[SHOWN] - expected).abs() <= 2e-3 * expected.abs().amax(1, keepdim=True)).all()
    assert "".join(map(str, found.argmax(1).tolist())) == ANSWERS[prototypes]


def test_the_plain_mean_of_neighbours(drawn: Drawn) -> None:
    method = METHODS.get("mml-mean").cls(integration="mean", k=K, feature_norm="raw", logit_scale=16.0)
    found = method.score(method.build(task(drawn), rng=Stream(0)), drawn.queries.x)
    torch.testing.assert_close(found[SHOWN[:2]], torch.tensor(ADDED_MEAN), rtol=1e-5, atol=1e-5)


def test_forty_steps_of_training_lose_as_the_official_code_does(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients are float32 here until a weight stores them, and float16 throughout there; hence 3 %."""
    from bench.learning.modular import training

    losses: list[float] = []

    def recorded(*given: Any, **named: Any) -> Any:
        done = fit(*given, **named)
        losses.extend(done.losses)
        return done

    fit = training.fit
    monkeypatch.setattr(training, "fit", recorded)
    method = replace(official(epochs=40, batch=len(drawn.queries)), weights=drawn.weights)
    trained = method.train(Session(task=task(drawn), queries=drawn.queries), None, rng=Stream(0)).weights
    for epoch, loss in LOSSES.items():
        assert losses[epoch - 1] == pytest.approx(loss, rel=0.03)
    assert all(w.dtype == torch.float16 for w in trained.tensors())
    assert (trained.trained_on, trained.epoch, trained.chosen_on) == ("seen classes", 40, "nothing")
    # The rule that the same figures in float32 would follow: it moves no weight by more than 40 times its rate.
    slow = replace(
        official(epochs=40, batch=len(drawn.queries), precision="float32"),
        weights=drawn.weights.map(torch.Tensor.float),
    )
    losses.clear()
    slow.train(Session(task=task(drawn), queries=drawn.queries), None, rng=Stream(0))
    assert losses[-1] > 0.99 * losses[0]


def test_steps_are_those_of_torch_on_float16_tensors() -> None:
    def after(kind: str) -> torch.Tensor:
        g = Stream(0).torch()
        weight = (torch.randn(400, 50, generator=g) * 0.05).half().requires_grad_(True)
        rates = {"lr": 1e-6, "eps": 1e-6, "weight_decay": 5e-4}
        adam = HalfAdam([weight], **rates) if kind == "ours" else torch.optim.Adam([weight], **rates)
        for _ in range(40):
            size = 10 ** (torch.rand(400, 50, generator=g) * 3 - 5)
            weight.grad = (torch.randn(400, 50, generator=g) * size).half()
            adam.step()
        return weight.detach()

    ours, theirs = after("ours"), after("torch")
    assert (ours == theirs).float().mean() >= 0.99
    torch.testing.assert_close(ours, theirs, atol=1.3e-4, rtol=0)


def test_small_gradients_take_steps_of_rate_one_and_a_large_one_slows_a_weight_for_good() -> None:
    moved = {}
    for first in (1e-3, 1e-2):
        weight = torch.zeros(1, dtype=torch.float16, requires_grad=True)
        adam = HalfAdam([weight], lr=1e-6, eps=1e-6, weight_decay=0.0)
        for gradient in (first, *[1e-3] * 60):
            weight.grad = torch.tensor([gradient]).half()
            adam.step()
        before = weight.detach().clone()
        weight.grad = torch.tensor([1e-3]).half()
        adam.step()
        moved[first] = float((before - weight.detach()).abs())
    assert moved[1e-3] == pytest.approx(0.987e-3, rel=0.02)
    assert moved[1e-2] < moved[1e-3] / 20


def test_the_first_epoch_counts_even_if_no_epoch_is_better_than_the_start(drawn: Drawn) -> None:
    session = Session(task=task(drawn), queries=drawn.queries)
    for counts, epochs in ((True, 0), (False, 1)):
        method = official(epochs=1, lr=1e-12, start_counts=counts)
        assert method.train(session, session, rng=Stream(0)).weights.epoch == epochs


def test_raw_norms_are_for_features_that_are_not_of_unit_norm(drawn: Drawn) -> None:
    def of_unit_norm(part: Features) -> Features:
        return replace(part, x=normalise(part.x).half())

    unit = replace(drawn, images=of_unit_norm(drawn.images), texts=of_unit_norm(drawn.texts))
    method = official(adapt="never")
    assert method.build(task(unit), rng=Stream(0)).norm == 10.0
    assert method.build(task(drawn), rng=Stream(0)).norm is None


@pytest.mark.parametrize(
    ("parameters", "where"),
    [
        ({"lr": 1e9, "epochs": 3}, "weights, which the next loss meets"),
        ({"lr": 1e9, "epochs": 1}, "weights, after the last loss"),
        ({"logit_scale": 1e9, "epochs": 1}, "gradients"),
        ({"logit_scale": 1e7, "epochs": 1}, "second moments, and weights then stand still"),
        ({"weight_decay": 1e4, "epochs": 1}, "second moments of the largest weights"),
        ({"image_weight": 1e8, "epochs": 1}, "gradients of the image branch"),
    ],
)
def test_what_overflows_in_float16_is_an_error_that_names_the_setting(
    parameters: dict[str, Any], where: str, drawn: Drawn
) -> None:
    session = Session(task=task(drawn), queries=drawn.queries)
    setting = next(iter(parameters))
    for validation in (None, session):
        with pytest.raises(BenchError, match=r"mml\.precision=float32") as caught:
            official(**parameters).train(session, validation, rng=Stream(0))
        assert f"mml.{setting} (now {parameters[setting]:g})" in str(caught.value), where
        assert "\n" not in str(caught.value)


def test_features_out_of_the_range_of_float16_are_an_error_that_names_the_setting(drawn: Drawn) -> None:
    """The code of the paper has features in float16 too, where such a norm is infinite and all cosines are zero."""
    for norm in (65505.0, 100_000):
        with pytest.raises(BenchError, match=r"mml\.feature_norm=\d+ is out of the range .*=float32"):
            official(feature_norm=norm)
        assert official(feature_norm=norm, precision="float32").feature_norm == norm
    assert official(feature_norm=65504.0).feature_norm == 65504
    far = replace(drawn, texts=replace(drawn.texts, x=drawn.texts.x.float() * 1e4))
    with pytest.raises(BenchError, match=r"features of norm 1\d{5} are out of .*set mml\.feature_norm=10"):
        official().build(task(far), rng=Stream(0))
    official(precision="float32").build(task(far), rng=Stream(0))


def test_gradients_that_all_underflow_in_float16_are_an_error_that_names_the_setting(drawn: Drawn) -> None:
    session = Session(task=task(drawn), queries=drawn.queries)
    for validation in (None, session):
        with pytest.raises(
            BenchError, match=r"stands still: .* raise mml\.logit_scale \(now 1e-06\), .*=float32"
        ) as caught:
            official(logit_scale=1e-6, epochs=2).train(session, validation, rng=Stream(0))
        assert "\n" not in str(caught.value)
    # A few gradients that are left are training, and so is float32.
    for parameters in ({"logit_scale": 1e-4}, {"feature_norm": 1e-4}, {"logit_scale": 1e-6, "precision": "float32"}):
        assert official(epochs=1, **parameters).train(session, session, rng=Stream(0)).weights.epoch == 1


def test_where_nothing_is_left_to_learn_gradients_of_zero_are_no_error(drawn: Drawn) -> None:
    method = official(epochs=1, start="zero", logit_scale=1e4)
    scores = method.score(method.build(task(drawn), rng=Stream(0)), drawn.queries.x)
    margins = scores.topk(2, 1).values.diff(dim=1).neg()[:, 0]
    easy = drawn.queries.take((scores.argmax(1) == drawn.queries.labels) & (margins > 500))
    assert len(easy) > 50, "whose loss is zero"
    found = method.train(Session(task=task(drawn), queries=easy), None, rng=Stream(0))
    assert found.weights.trained_on == "seen classes"
