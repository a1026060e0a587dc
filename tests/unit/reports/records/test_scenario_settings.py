"""Settings of a scenario that tell results apart."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from tests.statistics.runs import make_run


@pytest.mark.parametrize(
    ("one", "two", "condition"),
    [
        ({"increment": None, "base": 0}, {"increment": 2, "base": 0}, {"increment": 2}),
        ({"rates": [0, 0.4]}, {"rates": [0, 0.2, 0.4]}, {"rate": 0.4}),
        ({"sizes": [1, 4]}, {"sizes": [4, None]}, {"items": 4}),
        ({"pairs": ["AA", "AB"]}, {"pairs": ["AB"]}, {"trained": "A", "tested": "B"}),
    ],
)
def test_settings_that_the_condition_says_keep_nothing_apart(tmp_path, one, two, condition):
    for name, params in (("good", one), ("bad", two)):
        settings = {"conditions": (condition,), "scenario_params": json.dumps(params)}
        make_run(tmp_path / name, {name: 0.5}, run=name, **settings)
    run_table = read_runs([tmp_path])
    assert run_table.records["scenario"].unique().tolist() == ["incremental"]
    build([tmp_path], tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "comparisons.csv")) == 1
    # What differs is said all the same.
    (changed,) = one.keys() & two.keys() - {key for key in one if one[key] == two.get(key)}
    assert f"incremental.{changed}" in (tmp_path / "out" / "report.md").read_text()


def test_a_sweep_of_which_one_value_meets_another_run_stays_whole(tmp_path):
    for name, sizes in (("good", [1, 4, 16]), ("bad", [4, 16])):
        conditions = tuple({"memory": "rest", "items": size} for size in sizes)
        settings = {"scenario_params": json.dumps({"sizes": sizes, "memory": "auto"})}
        make_run(tmp_path / name, {name: 0.5}, run=name, conditions=conditions, **settings)
    assert read_runs([tmp_path]).records["scenario"].unique().tolist() == ["incremental"]
    build([tmp_path], tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "comparisons.csv")
    assert sorted(json.loads(text)["items"] for text in found["condition"]) == [4, 16]
    swept = pd.read_csv(tmp_path / "out" / "sweeps.csv")
    assert set(zip(swept["method"], swept["least"], swept["largest"], strict=True)) == {("good", 4, 16), ("bad", 4, 16)}


def test_data_of_other_content_leaves_settings_together(tmp_path):
    for name, rates in (("good", [0, 0.4]), ("bad", [0.4])):
        settings = {"scenario_params": json.dumps({"rates": rates}), "features_fingerprint": name}
        folder = make_run(tmp_path / name, {name: 0.5}, run=name, conditions=({"rate": 0.4},), **settings)
        for path in (folder / "records").iterdir():
            pd.read_parquet(path).assign(queries_fingerprint=name).to_parquet(path)
    assert read_runs([tmp_path]).records["scenario"].unique().tolist() == ["incremental"]


@pytest.mark.parametrize("queries", ["same", "other"])
def test_other_settings_and_other_queries_are_kept_apart(tmp_path, queries):
    for name, images, value in (("good", 16, "a"), ("bad", 4 if queries == "same" else 16, "b")):
        settings = {"scenario_params": json.dumps({"train_images": images, "increment": None if name == "bad" else 2})}
        folder = make_run(tmp_path / name, {name: 0.5}, run=name, **settings)
        if queries == "other":
            for path in (folder / "records").iterdir():
                table = pd.read_parquet(path)
                table["queries_fingerprint"] = value
                pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    assert read_runs([tmp_path]).records["scenario"].nunique() == 2
