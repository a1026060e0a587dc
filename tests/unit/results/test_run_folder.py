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
    return bench.run("supervised", methods, toy.dataset(), 1, out=out, device="cpu").frame


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path):
    with pytest.raises(BenchError, match="500 shots are wanted"):
        bench.run("incremental", ["knn"], toy.dataset(), 1, out=tmp_path / "runs", set={"incremental.shots": 500})
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.filterwarnings("ignore:failed broken")
def test_finished_cells_stay(tmp_path):
    for _ in range(2):
        run(tmp_path / "runs", ["protonet", Broken])
        (folder,) = (tmp_path / "runs").iterdir()
        frame = read_records(folder)
        assert frame["method"].tolist() == ["broken", "protonet"]
        assert frame["status"].tolist() == ["failed", "ok"]
