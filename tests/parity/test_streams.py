"""tda and dmn against their official code's rules, written with lists and dictionaries."""

import math
from dataclasses import replace
from operator import itemgetter

import numpy as np
import pytest
import torch

from bench.functional import stored_rows
from bench.learning.class_texts import prompt_matrix
from bench.methods import dmn
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import close, few_shot, make, queries
from tests.speed.allocated import peak_bytes
from tools.growth import task as growth


def asked(n=60):
    """Return queries around the classes, unsure ones among them."""
    near = toy.cloud([7, 3, 9], n // 3, toy.dataset().class_names, "stream", 0.5).x
    return near[torch.from_numpy(Stream(4).permutation(len(near)))]


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def test_tda_is_the_official_caches() -> None:
    task, x = few_shot(), asked().double().numpy()
    texts, c = prompt_matrix(task).double().numpy(), 3
    sure, unsure, expected = {}, {}, []

    def update(cache, item, column, most):
        kept = cache.setdefault(column, [])
        if len(kept) < most:
            kept.append(item)
        elif item[1] < kept[-1][1]:
            kept[-1] = item
        cache[column] = sorted(kept, key=itemgetter(1))

    for row in x:
        logits = 100 * texts @ row
        p = softmax(logits)
        entropy, column = -(p * np.log(np.maximum(p, 1e-300))).sum(), int(logits.argmax())
        update(sure, (row, entropy), column, 3)
        if 0.2 < entropy / math.log2(c) < 0.5:
            update(unsure, (row, entropy, (p > 0.03) & (p < 1)), column, 2)
        for own, items in sure.items():
            logits[own] += sum(2 * np.exp(-5 * (1 - key @ row)) for key, _ in items)
        for items in unsure.values():
            for key, _, mask in items:
                logits -= 0.117 * np.exp(-(1 - key @ row)) * mask
        expected.append(logits)
    assert unsure
    method = make("tda")
    close(method.score(method.build(task, rng=Stream(0)), asked()), np.stack(expected), 1e-3)


def test_tda_takes_the_settings_of_a_data_set_that_the_code_knows() -> None:
    task = toy.task()
    state = make("tda").build(task.__class__(**{**vars(task), "dataset": "oxford_pets"}), rng=Stream(0))
    assert (state.alpha, state.beta) == (2.0, 7.0)


@pytest.mark.parametrize("apart", [False, True], ids=["rows", "list"])
def test_dmn_is_the_official_memory_with_one_view(apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the labelled images lie: among the rows of their class, or in one list."""
    if apart:
        monkeypatch.setattr(dmn, "_PADDED", 0)
        monkeypatch.setattr(stored_rows, "_BLOCK", 5 * toy.DIMENSION)
    task, x = few_shot(), asked().double().numpy()
    texts = prompt_matrix(task).double().numpy()
    shots, columns = task.support.x.double().numpy(), task.columns(task.support.labels).numpy()
    shots = shots / np.linalg.norm(shots, axis=1, keepdims=True)
    memory, expected = {c: [] for c in range(3)}, []
    for row in x:
        p = softmax(100 * texts @ row)
        entropy, column = -(p * np.log(p + 1e-8)).sum(), int(p.argmax())
        kept = memory[column]
        if len(kept) < 4:
            kept.append((row, entropy))
        elif entropy < max(e for _, e in kept):
            kept[max(range(len(kept)), key=lambda i: kept[i][1])] = (row, entropy)
        means = []
        for c in range(3):
            held = [texts[c], *shots[columns == c], *(key for key, _ in memory[c])]
            mean = sum(np.exp(-5.5 * (1 - key @ row)) * key for key in held)
            means.append(mean / np.linalg.norm(mean))
        expected.append(p + softmax(100 * np.stack(means) @ row))
    method = make("dmn", slots=4)
    assert (method.begin(method.build(task, rng=Stream(0))).apart is not None) == apart
    close(method.score(method.build(task, rng=Stream(0)), asked()), np.stack(expected), 1e-4)


def test_dmn_takes_no_more_memory_where_one_class_has_most_images() -> None:
    columns = torch.cat([torch.zeros(400, dtype=torch.int64), torch.arange(100)])
    task = growth(500, 100, 64)
    task = replace(task, support=replace(task.support, labels=columns))
    method = make("dmn")
    state = method.build(task, rng=Stream(0))
    seen, peak = peak_bytes(lambda: method.begin(state), state.shots, state.texts, state.columns)
    assert seen.apart is state
    # 100 classes times the largest of them would be 10 MiB, and their products 65.
    assert peak < 1 << 20


def test_a_long_stream_grows_the_memory_of_dmn() -> None:
    task, method = few_shot(), make("dmn", slots=400)
    x = queries(700)
    state = method.build(task, rng=Stream(0))
    seen = method.begin(state)
    for row in x.split(1):
        method.step(state, seen, row)
    assert (sum(seen.filled), sum(seen.used)) == (700, 3 + len(task.support) + 700)
    first = method.begin(state)
    for column, kept in enumerate(first.used):
        assert torch.equal(seen.rows[column, :kept], first.rows[column, :kept])
        held = seen.rows[column, : seen.used[column]]
        assert torch.allclose(held @ held.T, seen.products[column, : len(held), : len(held)], atol=1e-5)
