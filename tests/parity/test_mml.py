"""MML against naive loops over equations 1 to 5 of the paper."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel
from torch.nn import functional as F  # noqa: N812

from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.registry import METHODS
from bench.core.task import Episode, Session, Task
from bench.functional.attention import Block
from bench.functional.classwise import normalise
from bench.learning.modular.training import SCALES
from bench.learning.prototypes import prototypes
from bench.runner.api import run
from bench.runner.evaluate import missing_requirement
from bench.sampling.sessions import make_task
from bench.utils.random import Stream
from tests import toy

CLASSES = (7, 3, 9)


def mml(**parameters: object) -> object:
    return METHODS.get("mml").cls(**parameters)


def layer_norm(v: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return (v - v.mean()) / torch.sqrt(((v - v.mean()) ** 2).mean() + 1e-5) * weight + bias


def naive_integration(b: Block, f: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
    """Eq. 3 for one query, K and V applied to every neighbour, in CLIP's residual block."""
    q = b.query_weight @ layer_norm(f, b.norm_query_weight, b.norm_query_bias) + b.query_bias
    scores, values = [], []
    for v in neighbours:
        n = layer_norm(v, b.norm_key_weight, b.norm_key_bias)
        scores.append(q @ (b.key_weight @ n + b.key_bias) / math.sqrt(len(f)))
        w = layer_norm(v, b.norm_value_weight, b.norm_value_bias)
        values.append(b.value_weight @ w + b.value_bias)
    weights = torch.stack(scores).softmax(0)
    g = f + b.out_weight @ sum(a * v for a, v in zip(weights, values, strict=True)) + b.out_bias
    inner = b.fc_weight @ layer_norm(g, b.norm_mlp_weight, b.norm_mlp_bias) + b.fc_bias
    return f + g + b.proj_weight @ (inner * torch.sigmoid(1.702 * inner)) + b.proj_bias


def naive_prototypes(items: torch.Tensor, others: torch.Tensor, count: int) -> torch.Tensor:
    """Eq. 1 for one class and modality, from the full cosine matrix."""
    cosines = [[float(F.cosine_similarity(v, t, dim=0)) for t in others] for v in items]
    order = sorted(range(len(items)), key=lambda i: -sum(cosines[i]))[:count]
    mean = torch.stack([items[i] / items[i].norm() for i in order]).mean(0)
    return mean / mean.norm()


@pytest.mark.parametrize("feature_norm", [10.0, None])
@pytest.mark.parametrize("k", [1, 4])
def test_forward_pass_equals_a_loop_over_the_equations(feature_norm: float | None, k: int) -> None:
    task = toy.task(CLASSES, support=False)
    method = mml(k=k, prototype_items=2, feature_norm=feature_norm)
    state = method.build(task, rng=Stream(0))
    # Biases and gains away from their initial zeros and ones, so that every term of the equations counts.
    g = Stream(5).torch()

    def shake(w: torch.Tensor) -> torch.Tensor:
        return w + 0.1 * torch.randn(w.shape, generator=g)

    weights = type(state.weights)(state.weights.image.map(shake), state.weights.text.map(shake))
    state = replace(state, weights=weights)
    queries = toy.dataset().splits["test"].of_classes(CLASSES).x
    found = method.score(state, queries)

    def scale(x: torch.Tensor) -> torch.Tensor:
        return x if feature_norm is None else x / x.norm(dim=-1, keepdim=True) * feature_norm

    for row, query in enumerate(queries):
        expected = torch.zeros(3)
        for block, items, others in (
            (weights.image, task.memory.images, task.memory.texts),
            (weights.text, task.memory.texts, task.memory.images),
        ):
            near = F.cosine_similarity(query.unsqueeze(0), items.x).argsort(descending=True)[:k]
            f = naive_integration(block, scale(query), scale(items.x[near]))
            for column, label in enumerate(CLASSES):
                p = naive_prototypes(items.x[items.labels == label], others.x[others.labels == label], 2)
                expected[column] += F.cosine_similarity(p, f, dim=0)
        torch.testing.assert_close(found[row], 25 * expected, atol=5e-4, rtol=1e-5)


def test_has_6_3_million_parameters_at_512_dimensions() -> None:
    block = Block.initial(512, Stream(0))
    n = sum(w.numel() for w in block.tensors())
    assert 2 * n == 6_308_864, "as many as the official code has"


def test_training_loss_is_the_cross_entropy_of_the_scores() -> None:
    """One Adam step on one batch moves the weights as autograd on eq. 5 says."""
    seen = toy.task((0, 1, 2), support=False)
    shown = toy.cloud([0, 1, 2], 6, seen.support.class_names, "hard", spread=0.6)
    training = Session(task=seen, queries=shown)
    before = mml(k=3, epochs=0, start="random").train(training, None, rng=Stream(0)).weights
    after = mml(k=3, epochs=1, lr=1e-3, weight_decay=0.0, start="random").train(training, None, rng=Stream(0)).weights
    weights = before.map(lambda w: w.clone().requires_grad_(True))
    state = mml(k=3, weights=weights).build(seen, rng=Stream(0).child("x"))
    state = replace(state, weights=weights)
    loss = F.cross_entropy(mml(k=3).score(state, shown.x), training.targets)
    leaves = weights.image.tensors()
    # The key bias adds a constant to all scores of a query, which softmax cancels: it is not in the graph.
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    for old, new, slope in zip(before.image.tensors(), after.image.tensors(), gradients, strict=True):
        if slope is None:
            assert torch.equal(old, new)
            continue
        # Adam's first step is lr g / (|g| + eps): where the slope is not tiny, its sign decides.
        clear = slope.abs() > 1e-4
        assert torch.equal((new - old)[clear].sign(), -slope[clear].sign())


def test_a_class_without_one_modality_uses_the_prototype_of_the_other() -> None:
    images, texts = toy.task(CLASSES).memory.images, toy.task(CLASSES).memory.texts
    columns = toy.task(CLASSES).columns
    some_images, some_texts = images.take(images.labels != 3), texts.take(texts.labels != 9)
    p_image, p_text = prototypes(
        some_images.x, columns(some_images.labels), some_texts.x, columns(some_texts.labels), 3, rng=Stream(0)
    )
    assert torch.equal(p_image[1], p_text[1])
    # Only the first class has both: the third one's text prototype lies off its image as the first one's does.
    torch.testing.assert_close(p_text[2], normalise(p_image[2] + p_text[0] - p_image[0]))
    assert not torch.allclose(p_image[0], p_text[0])


def test_a_class_without_text_does_not_take_the_answers_of_those_that_have_one() -> None:
    """Images share a direction that texts lack, as in CLIP's space."""

    def draw(n: int, purpose: str) -> torch.Tensor:
        return normalise(torch.from_numpy(Stream(0).child(purpose).numpy().standard_normal((n, 64), dtype="float32")))

    cone, x = draw(1, "cone"), draw(20, "classes")
    columns = torch.arange(20)
    images, texts = normalise(2 * cone + x), normalise(-2 * cone + x)
    p_image, p_text = prototypes(images, columns, texts[:10], columns[:10], 20, rng=Stream(0))
    queries = normalise(2 * cone + x + 0.5 * draw(20, "noise"))
    assert torch.equal((queries @ (p_image + p_text).T).argmax(1), columns)
    as_they_are = torch.cat([texts[:10], images[10:]])
    assert ((queries @ (p_image + as_they_are).T).argmax(1) >= 10).all()


def test_where_nothing_can_be_retrieved_nothing_is_trained() -> None:
    task = toy.task(CLASSES)
    memory = task.memory.replace(texts=task.memory.texts.take([]))
    bare = replace(task, memory=memory, prompts=task.prompts.of_classes([]))
    state = mml(memory="text").build(bare, rng=Stream(0))
    assert state.weights.trained_on == "no"
    assert mml(memory="text").score(state, task.support.x).shape == (len(task.support), len(CLASSES))


def test_memory_replacement_leaves_the_weights_as_they_were() -> None:
    seen = toy.task((0, 1, 2, 4), support=False)
    shown = toy.dataset().splits["train"].of_classes(seen.classes)
    trained = mml(epochs=2, lr=1e-3).train(Session(task=seen, queries=shown), None, rng=Stream(0))
    state = trained.build(toy.task(CLASSES, support=False), rng=Stream(1))
    assert state.weights.trained_on == "seen classes"
    for a, b in zip(trained.weights.image.tensors(), state.weights.image.tensors(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("web", [False, True], ids=["support alone", "with a memory"])
def test_without_a_budget_prototypes_of_earlier_sessions_stay_means_of_their_support(web: bool) -> None:
    data, classes = toy.dataset(per_class=20, images=web), (5, 1, 8, 0)
    method, state = mml(adapt="never"), None
    for number, seen in enumerate((classes[:2], classes)):
        new = seen[2 * number :]
        support = data.splits["train"].of_classes(new)
        task = make_task(data, seen, support=support, memory=data.memory.restrict(new), session=number)
        state = method.build(task, rng=Stream(0)) if state is None else method.extend(state, task, rng=Stream(0))
    train = data.splits["train"]
    for column, label in enumerate(classes):
        mean = normalise(train.of_classes([label]).x).mean(0)
        torch.testing.assert_close(state.image.prototypes[column], mean / mean.norm(), atol=1e-6, rtol=1e-6)
    assert set(state.image.items.sources) == ({"web-a", "web-b"} if web else {"support"})


def test_training_on_the_support_is_skipped_where_there_is_none() -> None:
    preset = METHODS.get("mml-ttt").preset
    episode = Episode(sessions=(Session(task=toy.task(CLASSES, support=False), queries=toy.task(CLASSES).support),))
    assert missing_requirement(mml().about, episode) is None  # type: ignore[attr-defined]
    skipped = run("web-zero-shot", "mml-ttt", toy.dataset(), seeds=1, set={"mml.epochs": 1})
    assert missing_requirement(mml(**preset).about, episode) == skipped["reason"][0]  # type: ignore[attr-defined]
    assert skipped["status"].tolist() == ["skipped"]
    assert "support" in skipped["reason"][0]
    with_support = Episode(sessions=(dataclasses.replace(episode.sessions[0], task=toy.task(CLASSES)),))
    assert missing_requirement(mml(**preset).about, with_support) is None  # type: ignore[attr-defined]


def test_training_never_retrieves_the_image_itself() -> None:
    task = toy.task(CLASSES, images=False)
    method = mml(k=4)
    state = method._plugging.plug(task, method._initial(task, Stream(0)), rng=Stream(0))
    near = method._forward.ask(state, task.support.x, task.support).image
    assert near is not None
    assert near.places.shape[1] == 4
    own = method._forward.prepare(state, task.support.x).unsqueeze(1)
    assert not torch.isclose(near.of(slice(None)).each, own).all(2).any()


@pytest.mark.parametrize("by", ["loss", "accuracy"])
def test_the_best_validation_epoch_is_kept(by: str) -> None:
    """Validation on other classes: the trained weights answer at least as well there as the initial ones."""
    names = toy.dataset().class_names
    seen, other = toy.task((0, 1, 2, 4, 5), support=False), toy.task((6, 8), support=False)
    shown = toy.cloud([0, 1, 2, 4, 5], 8, names, "hard", spread=0.5)
    validation = Session(task=other, queries=toy.cloud([6, 8], 30, names, "hard too", spread=0.5))
    method = mml(lr=1e-2, epochs=6, choose_by=by)
    trained = method.train(Session(task=seen, queries=shown), validation, rng=Stream(0))
    initial = mml(epochs=0).train(Session(task=seen, queries=shown), None, rng=Stream(0))

    def value(m: object) -> float:
        scores = m.score(m.build(other, rng=Stream(0)), validation.queries.x)
        if by == "accuracy":
            return float((scores.argmax(1) == validation.targets).float().mean())
        return -min(float(F.cross_entropy(s / 25 * scores, validation.targets)) for s in SCALES)

    assert value(trained) >= value(initial) - 1e-6


# -- what training is for ----------------------------------------------------------------------------------------

HALF = 16
NAMES = tuple(f"class {c}" for c in range(32))


def opposites(classes: tuple[int, ...], n: int, purpose: str) -> Features:
    """Return ``n`` vectors a class, [x; y] with x = +-2 u_c and y = 0.5 q_c + noise.

    Prototypes know q_c alone, because the signs of u_c cancel in a mean, and noise in a single y hides it. The nearest
    items have the query's own u_c and sign, so they are of its class, and their mean shows q_c without the noise.
    """
    g = Stream(0).child("classes").numpy()
    u, q = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in g.standard_normal((2, len(NAMES), HALF)))
    labels = np.repeat(classes, n)
    sign = np.where(np.arange(len(labels)) % 2, 1.0, -1.0)[:, None]
    noise = Stream(0).child(purpose).numpy().standard_normal((len(labels), HALF))
    x = np.concatenate([2 * sign * u[labels], 0.5 * q[labels] + 0.3 * noise], 1)
    ids = np.array([f"{purpose}/{row}" for row in range(len(x))])
    return Features(torch.from_numpy(x).float(), torch.from_numpy(labels), ids, NAMES)


def session_of(classes: tuple[int, ...], seed: int, norm: float) -> Session:
    """Return a task over such classes with a memory of images and texts, and queries, all of one norm."""

    def normed(n: int, what: str) -> Features:
        found = opposites(classes, n, f"{what} {seed} {classes[0]}")
        return dataclasses.replace(found, x=F.normalize(found.x, dim=1) * norm)

    memory = Memory(Items.of_features(normed(16, "image"), "web"), Items.of_features(normed(16, "text"), "web"))
    none = Features.empty(2 * HALF, NAMES)
    names = tuple(NAMES[c] for c in classes)
    task = Task(classes=classes, class_names=names, support=none, memory=memory, prompts=none)
    return Session(task=task, queries=normed(16, "query"))


def accuracies(seed: int, feature_norm: float | None, norm: float, lr: float) -> tuple[float, ...]:
    """Return accuracy on unseen classes of mml as it starts, trained, and trained without neighbours."""
    seen, other, unseen = (
        session_of(c, seed, norm) for c in (tuple(range(20)), tuple(range(20, 26)), tuple(range(26, 32)))
    )
    found = []
    for changed in ({"epochs": 0}, {}, {"integration": "self"}):
        settings = {
            "logit_scale": 16.0,
            "start": "random",
            "k": 8,
            "lr": lr,
            "epochs": 12,
            "batch": 64,
            "patience": None,
        }
        settings |= {"feature_norm": feature_norm, **changed}
        method = mml(**settings).train(seen, other, rng=Stream(seed))  # type: ignore[attr-defined]
        scores = method.score(method.build(unseen.task, rng=Stream(0)), unseen.queries.x)
        found.append(float((scores.argmax(1) == unseen.targets).float().mean()))
    return tuple(found)


@pytest.mark.parametrize(("feature_norm", "lr"), [(10.0, 2e-2), (None, 2e-3)])
def test_training_and_neighbours_help_on_unseen_classes(feature_norm: float | None, lr: float) -> None:
    """Paired by seed, with features brought to norm 10 and with unit-norm features taken as they are."""
    start, trained, alone = zip(*(accuracies(seed, feature_norm, 1.0, lr) for seed in range(6)), strict=True)
    assert ttest_rel(trained, start, alternative="greater").pvalue < 0.05
    assert ttest_rel(trained, alone, alternative="greater").pvalue < 0.05


def test_the_scale_is_explicit() -> None:
    """Features as CLIP gives them, of norm 10, taken as they are, equal unit-norm ones brought to norm 10."""
    unit, official = (session_of(tuple(range(6)), 0, norm) for norm in (1.0, 10.0))

    def scores(session: Session, feature_norm: float | None) -> torch.Tensor:
        method = mml(k=4, feature_norm=feature_norm, start="random", logit_scale=1.0)
        state = method._plugging.plug(session.task, method._initial(session.task, Stream(0)), rng=Stream(0))
        return method.score(state, session.queries.x)

    brought = scores(unit, 10.0)
    torch.testing.assert_close(scores(official, None), brought, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scores(official, 10.0), brought, atol=1e-5, rtol=1e-5)
    assert (scores(unit, None) - brought).abs().max() > 0.01, "residual sums depend on the scale"
