"""What a run that cannot begin, or stops, leaves behind."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

import bench
from bench.core.protocols import About
from bench.results.run_folder import read_records
from bench.utils.errors import BenchError
from tests import toy


@dataclass(frozen=True)
class Broken:
    """Gives no numbers."""

    name: ClassVar[str] = "broken"
    about: ClassVar[About] = About(paper="none", equation="none", fidelity="faithful")

    def build(self, task, *, rng):
        return task

    def score(self, state, queries):
        return torch.full((len(queries), state.n_classes), torch.nan)


def run(out, methods):
    return bench.run("supervised", methods, toy.dataset(), 1, out=out, device="cpu")


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path):
    with pytest.raises(BenchError, match="NaN"):
        run(tmp_path / "runs", [Broken])
    assert list((tmp_path / "runs").iterdir()) == []


def test_finished_cells_stay(tmp_path):
    with pytest.raises(BenchError, match="NaN"):
        run(tmp_path / "runs", ["protonet", Broken])
    (folder,) = (tmp_path / "runs").iterdir()
    assert read_records(folder)["method"].tolist() == ["protonet"]
    with pytest.raises(BenchError, match="NaN"):
        run(tmp_path / "runs", ["protonet", Broken])
    assert read_records(folder)["method"].tolist() == ["protonet"]
