"""What was chosen on the queries is marked, stands last and is compared with nothing."""

from __future__ import annotations

import re

import pandas as pd

from bench.reports.report import build
from tests.statistics.runs import make_run


def test_an_oracle_is_marked_everywhere_stands_last_and_is_compared_with_nothing(tmp_path):
    make_run(tmp_path / "a", {"x": 0.5, "y": 0.6}, run="a")
    make_run(tmp_path / "b", {"z": 0.9}, run="b", selection="oracle")
    shown = build([tmp_path], tmp_path / "report")
    rows = [line.split()[0] for line in shown.splitlines() if re.match(r"(x|y|z)", line)]
    assert rows == ["y", "x", "z(oracle)"]
    summary = pd.read_csv(tmp_path / "report" / "summary.csv")
    assert set(summary["method"]) == {"x", "y", "z(oracle)"}
    compared = pd.read_csv(tmp_path / "report" / "comparisons.csv")
    assert set(compared["a"]) | set(compared["b"]) == {"x", "y"}
    scores = (tmp_path / "report" / "tables" / "scores.tex").read_text().splitlines()
    best = [line for line in scores if line.startswith("z") or "z(oracle)" in line]
    assert best
    assert not any("textbf" in line for line in best), "an upper bound is not the best method"
    assert any("textbf" in line and "y" in line for line in scores)
    assert "oracle" in shown.split("warning", 1)[1]
