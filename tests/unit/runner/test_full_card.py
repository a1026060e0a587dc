"""A card that is full: blocks of scoring are halved once, and what does not fit then is one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import torch
from annotated_types import Ge
from torch import Tensor

import bench
from bench.core.protocols import About
from bench.core.task import Episode, Session, Task
from bench.results.run_folder import read_records
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.utils.errors import Notice
from bench.utils.random import Stream
from tests import toy

FULL = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.2 GiB is free."
)


@dataclass(frozen=True, kw_only=True)
class Narrow:
    """A method for which so many queries at a time are too many."""

    name = "narrow"
    about = About(paper="", equation="", fidelity="faithful")
    fits: int = 0
    batch: Annotated[int, Ge(1)] = 8

    def build(self, task: Task, *, rng: Stream) -> int:
        return task.n_classes

    def score(self, state: int, queries: Tensor) -> Tensor:
        if len(queries) > self.fits:
            raise torch.OutOfMemoryError(FULL)
        return queries[:, :state].contiguous()


def episode() -> Episode:
    task = toy.task()
    return Episode(sessions=(Session(task=task, queries=toy.dataset().splits["test"].of_classes(task.classes)),))


def test_a_block_that_does_not_fit_is_halved_once_and_said() -> None:
    dealt = episode()
    queries = dealt.sessions[0].queries
    assert len(queries) == 15
    with pytest.warns(Notice, match=r"^narrow: the GPU is too full to score 15 queries at a time, so 8 are$"):
        (halved,) = run_cell(Narrow(fits=8), Handover(dealt, 0), label="narrow").outcomes
    (whole,) = run_cell(Narrow(fits=15), Handover(dealt, 0), label="narrow").outcomes
    assert torch.equal(halved.predictions, whole.predictions)
    assert torch.equal(halved.ranks, whole.ranks)
    with pytest.warns(Notice), pytest.raises(torch.OutOfMemoryError):
        run_cell(Narrow(fits=7), Handover(dealt, 0), label="narrow")


@pytest.mark.filterwarnings("ignore::bench.utils.errors.Notice", "ignore::RuntimeWarning")
def test_a_method_that_does_not_fit_fails_alone_and_says_what_to_do(tmp_path: Path) -> None:
    frame = bench.run("supervised", ["protonet", Narrow], toy.dataset(), seeds=1, out=tmp_path, device="cpu").frame
    status = frame.set_index("method")["status"]
    assert status.to_dict() == {"protonet": "ok", "narrow": "failed"}
    reason = frame.set_index("method")["reason"]["narrow"]
    assert reason.startswith("the GPU is full (it has 23.64 GiB); use a smaller narrow.batch (--set), fewer --jobs, ")
    assert "--device cpu" in reason
    assert "\n" not in reason
    (run,) = tmp_path.iterdir()
    assert set(read_records(run)["method"]) == {"protonet", "narrow"}
