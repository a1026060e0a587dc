"""The main table."""

import re

import pandas as pd

from bench.reports.report import build
from tests.statistics.runs import make_run


def test_unequal_numbers_of_queries_are_a_span(tmp_path):
    make_run(tmp_path / "a", {"m": 0.5}, run="a", seeds=(0, 1), queries=20)
    for path in (make_run(tmp_path / "b", {"m": 0.5}, run="b", seeds=(2,), queries=10) / "records").iterdir():
        pd.read_parquet(path).assign(queries_fingerprint="others").to_parquet(path)
    build([tmp_path], tmp_path / "out")
    assert re.search(r"\| m \|.*\| 60 to 120 \|", (tmp_path / "out" / "report.md").read_text().replace("*", ""))
