"""What settings are chosen by."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import torch
from torch import Tensor

from bench.learning.choosing import first_best


def test_the_first_of_the_best_is_found_and_no_count_is_kept_meanwhile() -> None:
    given: list[weakref.ref[Tensor]] = []

    def hits() -> Iterator[Tensor]:
        for count in (3, 7, 7, 5):
            assert sum(one() is not None for one in given) <= 1, "small tensors between large ones grow the heap"
            hit = torch.tensor(count)
            given.append(weakref.ref(hit))
            yield hit
            del hit

    assert first_best(hits(), 4) == 1
