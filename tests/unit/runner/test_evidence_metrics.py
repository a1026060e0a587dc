"""What answers rest on, on data where it is known by thought, and its way into records and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import bench
from bench.core.registry import METHODS
from bench.core.task import Session
from bench.functional.classwise import normalise
from bench.reports.metrics.evidence import evidence
from bench.reports.records.run_table import read_runs
from bench.reports.sections.evidence import table
from bench.runner.evidence_metrics import evidence_means
from bench.scenarios.web_zero_shot import WebZeroShot
from bench.utils.random import Stream
from tests import toy


def session(asked: int) -> Session:
    task = toy.task((7, 3, 9))
    queries = toy.dataset().splits["test"].of_classes((7, 3, 9))
    return Session(task=task, queries=queries, evidence=asked)


def test_shares_of_right_neighbours_equal_a_loop() -> None:
    given = session(100)
    method = METHODS.get("knn").cls(k=17)
    found = evidence_means(method, method.build(given.task, rng=Stream(0)), given.task, given)
    memory = given.task.all_images
    shares = {}
    for row, name in enumerate(given.queries.ids.tolist()):
        near = (normalise(memory.x) @ normalise(given.queries.x[row])).argsort(descending=True)[:17]
        shares[name] = float((memory.labels[near] == given.queries.labels[row]).float().mean())
    assert found["queries"] == len(shares) == 15
    assert found["precision"] == {"image": pytest.approx(sum(shares.values()) / 15)}
    assert found["recall"] == {"image": sum(share > 0 for share in shares.values()) / 15}
    assert "right" not in found


def test_similarities_to_prototypes_are_those_of_the_right_class_and_the_mean_of_the_others() -> None:
    given = session(4)
    method = METHODS.get("mml-prototypes").cls()
    state = method.build(given.task, rng=Stream(0))
    found = evidence_means(method, state, given.task, given)
    assert found["queries"] == 4
    assert set(found["right"]) == set(found["wrong"])
    one = Session(task=given.task, queries=given.queries.take([2]), evidence=5)
    single = evidence_means(method, state, one.task, one)
    cosines = method.explain(state, one.task, one.queries.x[0].float()).prototypes["image"]
    own = int(one.task.columns(one.queries.labels)[0])
    others = torch.tensor([c for c in range(3) if c != own])
    assert single["right"]["image"] == pytest.approx(float(cosines[own]))
    assert single["wrong"]["image"] == pytest.approx(float(cosines[others].mean()))
    assert single["right"]["image"] > single["wrong"]["image"]


def test_a_run_that_asks_for_it_has_it_in_its_records_and_its_report(tmp_path: Path) -> None:
    data = toy.dataset()
    frame = bench.run(WebZeroShot(evidence=5), ["knn", "slda"], data, seeds=1, out=tmp_path / "runs").frame
    told = {row.method: json.loads(row.details).get("evidence") for row in frame.itertuples()}
    assert told["slda"] is None
    assert told["knn"]["queries"] == 5
    shown = table(evidence(read_runs(sorted((tmp_path / "runs").iterdir())).records))
    assert shown is not None
    for head, kind in (("recall@k %", "recall"), ("precision@k %", "precision")):
        assert [row[shown.head.index(head)].value for row in shown.rows] == [told["knn"][kind]["image"]]
    quiet = bench.run(WebZeroShot(), ["knn"], data, seeds=1).frame
    assert "evidence" not in json.loads(quiet["details"].iloc[0])
    assert table(evidence(quiet)) is None
