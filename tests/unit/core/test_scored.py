"""A block of queries that a device is too full for is scored by halves, which is said once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from torch import Tensor

from bench.core.protocols import About
from bench.core.scored import scored
from bench.core.task import Task
from bench.utils.errors import Notice
from bench.utils.random import Stream


@dataclass(frozen=True)
class Narrow:
    """A method for which more than so many queries at a time are too many."""

    fits: int
    sees: Literal["query", "set"] = "query"
    name = "narrow"

    @property
    def about(self) -> About:
        return About(paper="", equation="", fidelity="faithful", sees=self.sees)

    def build(self, task: Task, *, rng: Stream) -> None:
        raise NotImplementedError

    def score(self, state: float, queries: Tensor) -> Tensor:
        if len(queries) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return state * queries


def test_blocks_are_halved_and_that_is_said_once() -> None:
    blocks = torch.arange(30.0).view(3, 5, 2)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        found = torch.cat([scored(Narrow(fits=3), 2.0, block, "narrow") for block in blocks])
    assert torch.equal(found, 2 * blocks.view(15, 2))
    (line,) = told
    assert issubclass(line.category, Notice)
    assert str(line.message) == "narrow: the GPU is too full to score 5 queries at a time, so 3 are"


@pytest.mark.parametrize(("method", "count"), [(Narrow(fits=2), 5), (Narrow(fits=0), 1), (Narrow(3, "set"), 5)])
@pytest.mark.filterwarnings("ignore::bench.utils.errors.Notice")
def test_what_does_not_fit_in_halves_is_the_devices_error(method: Narrow, count: int) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        scored(method, 2.0, torch.ones(count, 2), "narrow")
