"""Tables of numbers as files."""

import numpy as np
import pandas as pd
import pytest

from bench.reports.report import build
from bench.reports.tables.files import csv_bytes, parquet_bytes
from tests.statistics.runs import make_run


def report(folder, **settings):
    # 50 classes are asked about, as the papers do on CUB.
    wanted = {"seeds": (0, 1), "sessions": 1, "per": 50, "queries": 4, "scenario": "web-zero-shot", "conditions": ({},)}
    make_run(folder / "r", {"mml": 0.7, "mml-text": 0.6}, **(wanted | settings))
    build([folder / "r"], folder / "out")
    return pd.read_csv(folder / "out" / "published.csv"), folder / "out"


def test_parquet_copies_hold_what_the_csv_holds(tmp_path):
    _, out = report(tmp_path, experiment="t05", datasets=("cub",))
    for name in ("summary", "comparisons"):
        csv, parquet = pd.read_csv(out / f"{name}.csv"), pd.read_parquet(out / f"{name}.parquet")
        assert list(csv) == list(parquet)
        assert len(csv) == len(parquet)
        for column in ("accuracy", "difference"):
            if column in csv:
                assert parquet[column].to_numpy() == pytest.approx(csv[column].to_numpy(), abs=1e-6)


def test_parquet_takes_words_beside_numbers(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet_bytes(pd.DataFrame({"n": pd.Series([1, "2/3", None], dtype=object)})))
    assert pd.read_parquet(path)["n"].tolist()[:2] == ["1", "2/3"]


def test_csv_is_what_pandas_writes_number_by_number():
    numbers = [1.5, np.nan, -0.0, 0.0, np.inf, 1e-9, -1e-9, 1.5]
    whole = pd.array([1, None, 3, 4, 5, 6, 7, 8], dtype="Int64")
    table = pd.DataFrame({"x": numbers, "n": range(8), "whole": whole, "text": ["a,b", *"bcdefg", None]})
    for part in (table, table[["x"]], table[:0]):
        assert csv_bytes(part) == part.to_csv(index=False, float_format="%.6f", lineterminator="\n").encode()
