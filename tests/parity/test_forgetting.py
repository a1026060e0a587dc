"""Extending and forgetting exactly: the scores equal those of a state that was built on what is left."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.protocols import Extends, Forgets
from bench.core.registry import METHODS
from bench.core.task import Task
from bench.functional.gaussian import Moments, solve
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import make, queries

ORDER = (7, 3, 9, 4)

STATISTICS = {
    "protonet": {},
    "simplecil": {},
    "slda": {},
    "gda": {"alpha": 0.3},
    "ranpac": {"width": 40, "penalty": 1.0},
    "fecam": {},
    "fecam-official": {},
    "fecam-official-vit": {},
    "klda": {"width": 60},
}
"""Methods that extend from running statistics, with anything that is chosen by session held fixed."""

EXACT = {
    "knn": [{}, {"k": 4}, {"k": 4, "vote": "majority"}],
    "protonet": [{}],
    "simplecil": [{}],
    "slda": [{}],
    # With and without a choice on held-out support, which must be made anew without what was forgotten.
    "gda": [{}, {"alpha": 0.3}],
    "ranpac": [{"width": 12}, {"width": 60}, {"width": 60, "penalty": 1e-3}],
    "visual-memory": [{"k": 4}, {"pruning": "soft", "soft_k": 4}, {"pruning": "hard", "hard_count": 5, "k": 6}],
}


def noisy(classes: tuple[int, ...], per_class: int = 8) -> Features:
    return toy.cloud(list(classes), per_class, toy.dataset().class_names, "noisy", 0.35)


def task_of(seen: tuple[int, ...], support: Features, session: int = 0, **missing: bool) -> Task:
    whole = toy.task(seen, images=False, **missing)
    return dataclasses.replace(
        whole, support=support, memory=Memory(whole.memory.images, whole.memory.texts), session=session
    )


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a.double(), b.double(), atol=1e-4, rtol=1e-4)


def gap_after_forgetting(name: str, seed: int = 4) -> float:
    """Return the largest difference of scores after forgetting a third of the images from those never trained on.

    Features are as those of an encoder that knows the classes well: a common mean, a tenth of its spread within a
    class, fewer images than dimensions. Scores run to 50,000 and more.
    """
    d, names = 256, tuple(f"class {c}" for c in range(30))
    draw = Stream(seed).numpy().standard_normal
    common, centres = 4 * draw(d), draw((30, d))
    y = np.repeat(np.arange(30), 8)
    x = torch.from_numpy(common + centres[y] + 0.1 * draw((240, d))).float()
    support = Features(x, torch.from_numpy(y), np.array([f"i{n}" for n in range(240)]), names)
    asked = torch.from_numpy(common + centres + 0.1 * draw((30, d))).float()
    task = Task(
        classes=tuple(range(30)),
        class_names=names,
        support=support,
        memory=Memory.empty(d),
        prompts=Features.empty(d, names),
    )
    method = make(name, **({"shrinkage": 1e-5} if name == "slda" else {}))
    gone = np.arange(240) % 3 == 0
    forgotten = method.forget(method.build(task, rng=Stream(0)), task, support.ids[gone].tolist())
    never = method.build(dataclasses.replace(task, support=support.take(~gone)), rng=Stream(0))
    gap = method.score(forgotten, asked).double() - method.score(never, asked).double()
    return float(gap.abs().max())


@pytest.mark.parametrize("name", ["gda", "slda", "ranpac", "simplecil", "protonet"])
def test_forgetting_is_exact_to_1e_4_where_scores_run_to_thousands(name: str) -> None:
    assert gap_after_forgetting(name) <= 1e-4


@pytest.mark.parametrize("name", ["gda", "slda"])
@pytest.mark.parametrize("single", ["sums", "solution"])
def test_float32_would_not_be_exact_there(name: str, single: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sums kept, or the linear system solved, in single precision the same gap is larger than 1e-4.

    Of other data where it is not of the first: the two systems may round to the same one, which depends on the order
    in which a processor adds.
    """
    if single == "sums":
        exact = Moments.of

        def rounded(x: torch.Tensor, columns: torch.Tensor, n_classes: int, **how: Any) -> Moments:
            found = exact(x, columns, n_classes, **how)
            return Moments(found.counts, found.sums.float().double(), found.gram.float().double())

        monkeypatch.setattr(Moments, "of", staticmethod(rounded))
    else:
        monkeypatch.setattr(f"bench.methods.{name}.solve", lambda m, rows: solve(m.float(), rows.float()).double())
    assert any(gap_after_forgetting(name, seed) > 1e-4 for seed in range(4, 36))


@pytest.mark.parametrize("name", list(STATISTICS))
@pytest.mark.parametrize("again", [False, True], ids=["new classes", "old classes come again"])
def test_extending_equals_building_at_once(name: str, again: bool) -> None:
    method, rng = make(name, **STATISTICS[name]), Stream(0)
    assert isinstance(method, Extends)
    every = noisy(ORDER)
    rows = np.arange(len(every))
    first = np.isin(every.labels.numpy(), ORDER[:2]) & ((rows % 8 < 5) | (not again))
    parts = [every.take(first), every.take(~first)]
    state = method.build(task_of(ORDER[:2], parts[0]), rng=rng)
    state = method.extend(state, task_of(ORDER, parts[1], 1), rng=rng)
    whole = method.build(task_of(ORDER, every, 1), rng=rng)
    close(method.score(state, queries()), method.score(whole, queries()))


@pytest.mark.parametrize(("name", "parameters"), [(n, p) for n, found in EXACT.items() for p in found])
@pytest.mark.parametrize("gone", ["some", "a class", "none"])
def test_forgetting_equals_never_having_seen(name: str, parameters: dict[str, object], gone: str) -> None:
    method, rng = make(name, **parameters), Stream(0)
    assert isinstance(method, Forgets)
    support = noisy(ORDER)
    leave = {
        "some": np.arange(len(support)) % 3 == 0,
        "a class": support.labels.numpy() == 3,
        "none": np.zeros(len(support), dtype=bool),
    }[gone]
    task = task_of(ORDER, support)
    state = method.build(task, rng=rng)
    before = method.score(state, queries()).clone()
    found = method.score(method.forget(state, task, support.ids[leave].tolist()), queries())
    expected = method.build(task_of(ORDER, support.take(~leave)), rng=rng)
    close(found, method.score(expected, queries()))
    torch.testing.assert_close(method.score(state, queries()), before, msg="the old state was changed")
    if gone != "none":
        assert not torch.allclose(found, before, atol=1e-4), "nothing was forgotten"


@pytest.mark.parametrize("name", ["protonet", "simplecil", "slda", "gda", "ranpac"])
def test_images_of_an_earlier_session_can_be_forgotten_too(name: str) -> None:
    method, rng = make(name, **STATISTICS[name]), Stream(0)
    every = noisy(ORDER)
    old, new = every.of_classes(ORDER[:2]), every.of_classes(ORDER[2:])
    earlier, later = task_of(ORDER[:2], old), task_of(ORDER, new, 1)
    state = method.extend(method.build(earlier, rng=rng), later, rng=rng)
    gone = np.arange(len(old)) % 2 == 0
    found = method.forget(state, earlier, old.ids[gone].tolist())
    expected = method.build(task_of(ORDER, Features.concat([old.take(~gone), new])), rng=rng)
    close(method.score(found, queries()), method.score(expected, queries()))


@pytest.mark.parametrize("name", list(EXACT))
def test_everything_can_be_forgotten(name: str) -> None:
    method, support = make(name), noisy(ORDER)
    task = task_of(ORDER, support)
    found = method.score(method.forget(method.build(task, rng=Stream(0)), task, support.ids.tolist()), queries())
    assert found.shape == (len(queries()), 4)
    assert not torch.isnan(found).any()


@pytest.mark.parametrize("name", list(EXACT))
def test_an_item_that_is_not_there_is_refused_and_a_text_is_passed_over(name: str) -> None:
    method, task = make(name), task_of(ORDER, noisy(ORDER))
    state = method.build(task, rng=Stream(0))
    with pytest.raises(BenchError, match="cannot forget item 'nobody'"):
        method.forget(state, task, ["nobody"])
    text = str(task.memory.texts.ids[0])
    close(method.score(method.forget(state, task, [text]), queries()), method.score(state, queries()))


def test_every_method_that_forgets_is_tested_here() -> None:
    forgetful = {name for name in METHODS.names() if isinstance(METHODS.get(name).cls(), Forgets)}
    assert set(EXACT) <= forgetful
    assert {METHODS.get(name).cls.name for name in forgetful} <= set(EXACT)
