"""kNN, ProtoNet, zero-shot and the linear probe against scikit-learn and naive definitions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.registry import METHODS
from bench.core.task import Task
from bench.functional import descent, logistic_regression
from bench.functional.logistic_regression import LogisticRegression
from bench.utils.random import Stream
from tests import toy

CLASSES = (7, 3, 9)


def scores(name: str, task: object, queries: torch.Tensor, **parameters: object) -> torch.Tensor:
    method = METHODS.get(name).cls(**parameters)
    found: torch.Tensor = method.score(method.build(task, rng=Stream(0)), queries)
    return found


def answers(name: str, task: object, queries: torch.Tensor, **parameters: object) -> list[int]:
    return [CLASSES[c] for c in scores(name, task, queries, **parameters).argmax(1).tolist()]


def spread_queries() -> torch.Tensor:
    x = Stream(9).numpy().standard_normal((60, toy.DIMENSION))
    return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)).float()


def test_knn_equals_scikit_learn_which_gives_ties_to_the_lowest_class_too() -> None:
    task, queries = toy.task(CLASSES, images=False), spread_queries()
    for k in (1, 2, 4, 7):
        reference = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
        reference.fit(task.support.x.numpy(), task.support.labels.numpy())
        assert answers("knn", task, queries, k=k, vote="majority") == reference.predict(queries.numpy()).tolist()


@pytest.mark.parametrize("temperature", [0.03, 0.07])
def test_knn_temperature_vote_equals_a_loop(temperature: float) -> None:
    task, queries = toy.task(CLASSES, images=False), spread_queries()
    found = scores("knn", task, queries, k=5, temperature=temperature)
    for row, query in enumerate(queries):
        sims = task.support.x @ query
        near = sims.argsort(descending=True)[:5]
        weights = (sims[near] / temperature).softmax(0)
        expected = [float(weights[task.support.labels[near] == c].sum()) for c in CLASSES]
        torch.testing.assert_close(found[row], torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_k_is_bounded_by_what_the_classes_hold_unless_it_is_given() -> None:
    task = toy.task(CLASSES, images=False)
    method = METHODS.get("knn").cls()
    for shots, expected in ((1, 1), (2, 3), (4, 7), (6, 11)):
        rows = np.concatenate([np.flatnonzero(task.support.labels.numpy() == c)[:shots] for c in CLASSES])
        state = method.build(dataclasses.replace(task, support=task.support.take(rows)), rng=Stream(0))
        assert method.describe(state)["k_used"] == expected
        gone = state.items.ids[rows.argsort().argsort() % shots == 0].tolist() if shots > 1 else []
        assert method.forget(state, task, gone).k == max(1, 2 * (shots - bool(gone)) - 1)
    many = toy.cloud(list(CLASSES), 20, task.support.class_names, "many")
    assert method.build(dataclasses.replace(task, support=many), rng=Stream(0)).k == 32


@pytest.mark.parametrize("name", ["oxford_pets", "oxford_flowers", "stanford_cars", "sun397", "dtd"])
def test_knn_is_not_more_than_a_point_below_the_nearest_neighbour_at_any_shots(name: str, real_features: Path) -> None:
    held = np.load(real_features / f"{name}.npz")
    source, asked = {"sun397": ("shot8", "val"), "stanford_cars": ("shot16", "val"), "dtd": ("val", "test")}.get(
        name, ("shot16", "test")
    )
    x, y = torch.from_numpy(held[f"{source}_x"]).float(), torch.from_numpy(held[f"{source}_y"].astype(np.int64))
    queries, labels = torch.from_numpy(held[f"{asked}_x"][:1500]).float(), held[f"{asked}_y"][:1500]
    n_classes = int(y.max()) + 1
    names = tuple(f"class {c}" for c in range(n_classes))
    support = Features(x, y, np.array([f"i{n}" for n in range(len(x))]), names)
    for shots in (1, 2, 4, 8, 16):
        rows = np.concatenate([np.flatnonzero(y.numpy() == c)[:shots] for c in range(n_classes)])
        if len(rows) < shots * n_classes:
            break
        task = Task(
            classes=tuple(range(n_classes)), class_names=names, support=support.take(rows),
            memory=Memory.empty(x.shape[1]), prompts=Features.empty(x.shape[1], names),
        )  # fmt: skip
        voted, nearest = (
            float((scores("knn", task, queries, k=k).argmax(1).numpy() == labels).mean()) for k in (None, 1)
        )
        assert voted >= nearest - 0.01


def test_k_above_the_memory_uses_all_of_it_and_says_so() -> None:
    task = toy.task(CLASSES, images=False)
    method = METHODS.get("knn").cls(k=500)
    state = method.build(task, rng=Stream(0))
    assert method.describe(state)["k_used"] == len(task.support)


def test_protonet_equals_nearest_centroid() -> None:
    task, queries = toy.task(CLASSES, images=False), spread_queries()
    reference = NearestCentroid().fit(task.support.x.numpy(), task.support.labels.numpy())
    means = reference.centroids_ / np.linalg.norm(reference.centroids_, axis=1, keepdims=True)
    expected = reference.classes_[(queries.numpy() @ means.T).argmax(1)]
    assert answers("protonet", task, queries) == expected.tolist()


def test_zero_shot_is_a_hundred_times_the_cosine() -> None:
    task, queries = toy.task(CLASSES), spread_queries()
    found = scores("zero-shot", task, queries)
    for column, label in enumerate(CLASSES):
        text = task.prompts.x[task.prompts.labels == label][0]
        torch.testing.assert_close(found[:, column], 100 * (queries @ (text / text.norm())), atol=1e-4, rtol=1e-5)


def test_logistic_regression_reaches_scikit_learns_objective() -> None:
    data = toy.dataset(per_class=8).splits["train"]
    x, y = data.x.double().numpy(), data.labels.numpy()

    def objective(w: np.ndarray, b: np.ndarray, c: float) -> float:
        logits = x @ w.T + b
        log_p = (
            logits
            - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
            - logits.max(1, keepdims=True)
        )
        return float(-c * log_p[np.arange(len(y)), y].sum() + (w**2).sum() / 2)

    ours = LogisticRegression(data.x, data.labels, 10, tolerance=1e-7)
    for c in (1e-2, 1.0, 1e2):
        reference = Reference(C=c, max_iter=5000, tol=1e-8).fit(x, y)
        best = objective(reference.coef_, reference.intercept_, c)
        mine = ours.fit(c)
        assert objective(mine.weights.double().numpy(), mine.biases.double().numpy(), c) <= best * (1 + 1e-4)


def test_fewer_rows_than_dimensions_is_the_same_problem() -> None:
    """The rotation into the span of the rows changes neither weights nor predictions."""
    data = toy.dataset().splits["train"].of_classes((0, 1)).take(np.arange(0, 12, 2))
    assert len(data) < toy.DIMENSION
    mine = LogisticRegression(data.x, data.labels, 2, tolerance=1e-8).fit(1.0)
    reference = Reference(C=1.0, max_iter=5000, tol=1e-10).fit(data.x.double().numpy(), data.labels.numpy())
    # scikit-learn fits two classes with one weight vector w; the symmetric optimum has w / 2 and -w / 2 and a
    # penalty half as large, so the two agree at half the C.
    half = LogisticRegression(data.x, data.labels, 2, tolerance=1e-10).fit(0.5)
    difference = half.weights[1] - half.weights[0]
    np.testing.assert_allclose(difference.numpy(), reference.coef_[0], atol=2e-3)
    assert mine.weights.shape == (2, toy.DIMENSION)


def test_linear_probe_chooses_c_on_support_only() -> None:
    """Changing the queries changes nothing, and the chosen C is that of the best held-out accuracy."""
    task = toy.task(CLASSES, images=False)
    method = METHODS.get("linear-probe").cls()
    state = method.build(task, rng=Stream(0))
    told = method.describe(state)
    assert told["held_out"] == 3 * 3
    assert 1e-7 <= told["c"] <= 1e7


def test_linear_probe_leaves_out_classes_without_images() -> None:
    """They get minus infinity, and the others what they get where there are no such classes."""
    task, method = toy.task(CLASSES, images=False), METHODS.get("linear-probe").cls(c=1.0)
    two = toy.task((7, 9), images=False)
    for shown in ((7, 9), (9,), ()):
        part = dataclasses.replace(task, support=task.support.of_classes(shown))
        state = method.build(part, rng=Stream(0))
        found = method.score(state, spread_queries())
        absent = torch.tensor([c not in shown for c in CLASSES])
        assert (found[:, absent] == -torch.inf).all()
        assert torch.isfinite(found[:, ~absent]).all()
        if shown == two.classes:
            expected = method.score(method.build(two, rng=Stream(0)), spread_queries())
            torch.testing.assert_close(found[:, ~absent], expected)


def test_linear_probe_holds_out_at_most_half_of_a_class_and_nothing_where_one_has_a_single_image() -> None:
    data = toy.dataset().splits["train"].of_classes(CLASSES)

    def told(rows: list[int], **parameters: int) -> dict[str, object]:
        task = dataclasses.replace(toy.task(CLASSES, images=False), support=data.take(rows))
        method = METHODS.get("linear-probe").cls(**parameters)
        return dict(method.describe(method.build(task, rng=Stream(0))))

    some = [0, 1, 6, 7, 8, 12, 13, 14, 15, 16]
    assert told(some)["held_out"] == 1 + 1 + 2
    assert told(some, held_out=1)["held_out"] == 1 + 1 + 1
    assert told(some)["class_weights"] == "none"
    assert told(some[1:]) == {
        "c": 10.0,
        "held_out": 0,
        "configurations": 1,
        "class_weights": "balanced",
        "not_chosen": "a class has one labelled image",
    }


def test_linear_probe_takes_the_c_of_the_least_loss_on_held_out_images() -> None:
    task = dataclasses.replace(
        toy.task(CLASSES, images=False),
        support=toy.cloud(list(CLASSES), 8, toy.dataset().class_names, "noisy", spread=0.5),
    )
    method, rng = METHODS.get("linear-probe").cls(), Stream(0)
    x, columns = task.support.x, task.columns(task.support.labels)
    test = method._hold_out(columns, rng)
    c = method.build(task, rng=rng).c
    rest = LogisticRegression(x[~test], columns[~test], 3, tolerance=1e-9)

    def loss(c: float) -> float:
        return float(torch.nn.functional.cross_entropy(rest.fit(c)(x[test]), columns[test]))

    grid = [loss(10.0 ** (power / 4)) for power in range(-24, 25)]
    assert min(grid) < 0.97 * min(grid[0], grid[-1])
    assert loss(c) <= min(grid) * 1.01


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("c", [1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2])
def test_linear_probe_agrees_with_scikit_learn_at_the_same_c(c: float, balanced: bool) -> None:
    names = tuple("abcde")
    support = toy.cloud([0, 1, 2, 3, 4], 12, names, "probe", spread=0.4)
    support = support if balanced else support.take([0, 12, 13, *range(24, 60)])
    base = toy.task((0, 1, 2, 3, 4), images=False)
    task = dataclasses.replace(base, support=dataclasses.replace(support, class_names=base.support.class_names))
    method = METHODS.get("linear-probe").cls(**({"c": c} if balanced else {"default_c": c}))
    found = method.score(method.build(task, rng=Stream(0)), spread_queries()).double().numpy()
    # Its default solver ends some way off where the penalty is strong: it finds no step that lowers the loss.
    weights = None if balanced else "balanced"
    reference = Reference(C=c, max_iter=5000, tol=1e-12, solver="newton-cholesky", class_weight=weights)
    reference.fit(support.x.double().numpy(), support.labels.numpy())
    expected = reference.decision_function(spread_queries().double().numpy())
    found, expected = (a - a.mean(1, keepdims=True) for a in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert (found.argmax(1) == expected.argmax(1)).all()


def test_accuracy_of_the_linear_probe_does_not_fall_with_shots(real_features: Path) -> None:
    """Five of the pets: by the count of right images, the smallest C of the grid was chosen where all are right."""
    held = np.load(real_features / "oxford_pets.npz")
    names = tuple(f"class {c}" for c in range(37))
    every = Features(
        torch.from_numpy(held["shot16_x"]).float(), torch.from_numpy(held["shot16_y"].astype(np.int64)),
        np.array([f"i{n}" for n in range(592)]), names,
    )  # fmt: skip
    means = []
    for shots in (1, 4, 16):
        right = []
        for seed in range(3):
            chosen = sorted(Stream(seed).permutation(37)[:5].tolist())
            rows = np.concatenate([np.flatnonzero(every.labels.numpy() == c)[:shots] for c in chosen])
            task = Task(
                classes=tuple(chosen), class_names=tuple(names[c] for c in chosen), support=every.take(rows),
                memory=Memory.empty(512), prompts=Features.empty(512, names),
            )  # fmt: skip
            asked = np.isin(held["test_y"], chosen)
            answered = scores("linear-probe", task, torch.from_numpy(held["test_x"][asked]).float()).argmax(1)
            right.append(float((np.array(chosen)[answered.numpy()] == held["test_y"][asked]).mean()))
        means.append(float(np.mean(right)))
    assert means == sorted(means)
    assert means[-1] > 0.93


def test_a_logistic_regression_on_a_device_waits_for_it_a_few_times_an_iteration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = toy.cloud(list(range(10)), 12, tuple("abcdefghij"), "waits", spread=0.5)
    expected = LogisticRegression(data.x, data.labels, 10).fit(100.0)
    waits = []
    for name in ("tolist", "__float__", "item", "__bool__"):
        plain = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda t, plain=plain: (waits.append(1), plain(t))[1])
    for module in (descent, logistic_regression):
        monkeypatch.setattr(module, "waited_for", lambda _: True)
    regression = LogisticRegression(data.x, data.labels, 10)
    found = regression.fit(100.0)
    # The decrement, the value after the step, the two products of the pair, and a few for steps that were too long.
    assert regression.iterations > 10
    assert len(waits) < 5 * regression.iterations
    assert float((found.weights - expected.weights).norm()) < 2e-3 * float(expected.weights.norm())
