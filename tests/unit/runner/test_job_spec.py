"""What workers are told, and what cannot be sent to one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import bench as package
from bench.runner.parallel.job_spec import JobSpec, job_spec
from bench.utils.errors import BenchError
from tests import toy
from tests.unit.runner.runs import planned


def test_an_order_is_one_line_that_plans_the_same_run(tmp_path: Path) -> None:
    run = planned(tmp_path, set={"protonet.temperature": [0.1, 1.0]}, seeds=[0, 4], oracle=("knn.k=1,4",))
    line = job_spec(run, ["run"], 1).to_json()
    assert "\n" not in line
    again = JobSpec.from_json(line).plan(run.folder)
    assert [deal.cells for deal in again.episodes] == [deal.cells for deal in run.episodes]
    assert again.folder == run.folder


def test_other_code_or_data_in_a_worker_is_noticed(tmp_path: Path) -> None:
    told = json.loads(job_spec(planned(tmp_path), ["run"], 1).to_json())
    told["config"]["seeds"] = [7]
    with pytest.raises(BenchError, match="other code or other data"):
        JobSpec(**told).plan(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": [toy.dataset()]}, "data set toy is an object of this process"),
        ({"set": {"incremental.classes": "all", "knn.k": (3, 5)}}, r"knn.k=\(3, 5\) cannot be sent"),
    ],
)
def test_what_cannot_be_sent_to_a_worker_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    run = planned(tmp_path)
    with pytest.raises(BenchError, match=words):
        job_spec(dataclasses.replace(run, config=run.config.model_copy(update=changes)), ["run"], 1)


def test_objects_of_a_notebook_are_refused_by_name_and_leave_no_folder(tmp_path: Path) -> None:
    from bench.methods.knn import KNN

    for method in (KNN(), KNN):
        with pytest.raises(BenchError, match="method KNN is an object of this process and cannot be sent to a worker"):
            package.run("incremental", [method], "digits", seeds=1, jobs=2, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_jobs_is_refused() -> None:
    with pytest.raises(BenchError, match="--jobs 0 leaves nobody to work"):
        package.run("incremental", ["knn"], "digits", seeds=1, jobs=0)
