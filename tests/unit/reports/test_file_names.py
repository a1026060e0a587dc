"""Names of a report's files: usual ones as they are, and never one name for two things."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from bench.reports.analysis import Choices
from bench.reports.report import build
from bench.reports.utils.text import condition_name, file_name, slug
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run

ODD = [
    "a_b",
    "a-b",
    "a b",
    "A-b",
    "a.b",
    "a--b",
    "-a-b",
    "a-b-",
    "a:b",
    "a=b",
    "à-b",
    "a-b.",
    "a/b",
    "a\u202eb",
    "a\nb",
    "ａ-b",
]


@pytest.mark.parametrize("name", ["few-shot", "oxford_pets", "food-101", "cifar10.1", "_x"])
def test_a_usual_name_stays(name: str) -> None:
    assert slug(name) == name
    assert slug("few-shot", name, "curve") == f"few-shot-{name}-curve"


def test_odd_names_are_never_one_file() -> None:
    made = [slug("incremental", name, "curve") for name in ODD]
    assert len(set(made)) == len(ODD)
    assert all(name.isascii() and name == name.lower() and "/" not in name for name in made)


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        ({}, ""),
        ({"base": 0, "increment": 10}, "base-0-increment-10"),
        ({"items_per_class": 4, "source": "web-zero"}, "items-per-class-4-source-web-zero"),
        ({"rate": 0.5, "sizes": [1, 2], "memory": None, "clean": True}, "rate-0.5-sizes-1-2-memory-none-clean-true"),
    ],
)
def test_a_usual_condition_stays(condition: dict[str, object], name: str) -> None:
    assert condition_name(json.dumps(condition)) == name


def test_odd_conditions_are_never_one_file() -> None:
    values = [4, -4, "4", "-4", None, "none", "None", True, "true", "a b", "a-b", "a_b", "A-b", 1e20, "1e-20", [4, 5]]
    conditions = [{"key": value} for value in values]
    conditions += [
        {"k ey": 4},
        {"k-ey": 4},
        {"k_ey": 4},
        {"KEY": 4},
        {"a": "b, c d"},
        {"a": "b", "c": "d"},
        {"x" * 90: 4},
    ]
    names = [file_name("few-shot", "digits", json.dumps(one), "curve") for one in conditions]
    for (a, one), (b, other) in itertools.combinations(zip(names, conditions, strict=True), 2):
        assert a != b, (one, other)


def test_a_report_of_names_that_are_alike(tmp_path: Path) -> None:
    """Data sets and methods that differ in a character which is no letter have figures of their own."""
    make_run(
        tmp_path / "run", {"m b": 0.5, "m_b": 0.7, "m-b": 0.6}, datasets=("a_b", "a-b", "A-b"), seeds=(0,), sessions=2
    )
    build([tmp_path / "run"], tmp_path / "out")
    curves = sorted(path.name for path in (tmp_path / "out" / "figures").glob("*curve*.svg"))
    assert len(curves) == 3
    assert {"incremental-a_b-base-0-increment-2-curve.svg", "incremental-a-b-base-0-increment-2-curve.svg"} < set(
        curves
    )


@pytest.mark.parametrize(("baseline", "said"), [("god", "did you mean 'good'"), ("", "known: bad, good"), ("a\nb", "")])
def test_a_baseline_that_no_method_is_called(tmp_path: Path, baseline: str, said: str) -> None:
    make_run(tmp_path / "run", {"good": 0.7, "bad": 0.5}, seeds=(0,), sessions=1)
    with pytest.raises(BenchError, match=f"no method of these runs.*{said}") as caught:
        build([tmp_path / "run"], tmp_path / "out", choices=Choices(baseline=baseline))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
