"""A run.json that was damaged or edited: one line, or passed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.reports.report import build
from bench.results.consolidated import record_files
from bench.results.run_json import read_manifest
from tests.statistics.runs import make_run
from tests.unit.results.damage import refused


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", {"good": 0.8, "bad": 0.6}, seeds=(0, 1))


ODD_MANIFESTS: list[Any] = [
    {"run": 5},
    {"run": None},
    {"run": "../victim"},
    {"run": "a" * 200},
    {"schema": "1"},
    {"schema": None},
    {"schema": True},
    {"cells": "many"},
    {"cells": -1},
    {"cells": 1.5},
    {"methods": "knn"},
    {"methods": [5]},
    {"methods": [{"name": "knn"}]},
    {"datasets": [{}]},
    {"datasets": {"name": "a"}},
    {"class_names": ["a"]},
    {"class_names": {"made": "abc"}},
    {"class_names": {"made": [1, 2]}},
    {"seeds": 5},
    {"seeds": ["0"]},
    {"shard": "x/y"},
    {"shard": 1},
    {"created": 5},
    {"device": ["cpu"]},
]


@pytest.mark.parametrize("change", ODD_MANIFESTS, ids=str)
def test_a_run_json_with_other_types_is_one_line(run: Path, change: dict[str, Any]) -> None:
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(manifest | change))
    line = refused(run)
    assert next(iter(change)) in line


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"run": "a", "run": "b"}', "\ufeff{}", "{\x00}"]
)
def test_a_run_json_that_is_no_object_is_one_line(run: Path, text: str) -> None:
    (run / "run.json").write_text(text)
    refused(run)


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"{\x80}"])
def test_a_run_json_that_is_no_text_is_one_line(run: Path, content: bytes) -> None:
    (run / "run.json").write_bytes(content)
    refused(run)


def test_what_run_json_says_besides_is_passed_on(run: Path) -> None:
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(manifest | {"of a later version": [1]}))
    assert read_manifest(run)["of a later version"] == [1]
    build([run], run.parent / "out")
    assert len(record_files(run)) == 4
