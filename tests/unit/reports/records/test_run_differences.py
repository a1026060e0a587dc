"""Reports on several runs that are not alike."""

import json

import pandas as pd
import pytest

from bench.reports.records.run_differences import differences
from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from bench.reports.sections.differences import table
from tests.statistics.runs import make_run


def rows(differing):
    return {(row[0].text, row[1].text): row[2].text for row in table(differing).rows}


def test_equal_runs_differ_in_nothing(tmp_path):
    make_run(tmp_path / "a", {"m": 0.5, "n": 0.6}, run="a")
    assert differences(read_runs([tmp_path])) == ({}, [])


def test_every_difference_is_in_the_table_and_said(tmp_path):
    seen = {"git_commit": "c1", "versions": {"numpy": "1", "torch": "2"}}
    make_run(
        *(tmp_path / "a", {"m": 0.5}),
        run="a",
        seeds=(0, 1, 2),
        method_params='{"k": 8}',
        provenance=json.dumps(seen),
        manifest={"code": "aaaa", "seeds": [0, 1, 2]},
    )
    make_run(
        *(tmp_path / "b", {"m": 0.6, "n": 0.7}),
        run="b",
        seeds=(1, 2, 3),
        method_params='{"k": 16}',
        provenance=json.dumps(seen | {"versions": {"numpy": "3", "torch": "2"}}),
        manifest={"code": "bbbb", "seeds": [1, 2, 3]},
    )
    differing, said = differences(read_runs([tmp_path]))
    found = rows(differing)
    assert found["seeds", "0, 1, 2"] == "a"
    assert found["seeds", "1, 2, 3"] == "b"
    assert found["m.k", "8"] == "a"
    assert found["m.k", "16"] == "b"
    assert found["harness code", "aaaa"] == "a"
    assert found["versions: numpy", "3"] == "b"
    # What is the same, and what only one run has, is no difference.
    assert {what for what, _ in found} == {"seeds", "methods", "m.k", "harness code", "versions: numpy"}
    assert len(said) == 1
    assert "seeds, methods" in said[0]


def test_only_what_pairs_is_compared(tmp_path):
    make_run(tmp_path / "a", {"m": 0.5}, run="a", seeds=(0, 1, 2))
    make_run(tmp_path / "b", {"n": 0.7}, run="b", seeds=(1, 2, 3))
    text = build([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "comparisons.csv")
    assert found["seeds"].tolist() == ["1 2"]
    assert "warning: methods have unequal seeds" in text
    assert "warning: the runs differ in seeds" in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("the runs differ in") < page.index("<table")
    assert 'id="differences-table"' in page


def test_other_data_under_one_name_is_never_compared(tmp_path):
    make_run(tmp_path / "a", {"m": 0.5}, run="a", features_fingerprint="one")
    make_run(tmp_path / "b", {"n": 0.7}, run="b", features_fingerprint="two")
    build([tmp_path], tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "comparisons.csv")) == 0
    differing, said = differences(read_runs([tmp_path]))
    assert rows(differing)["data of made", "one"] == "a"
    assert "never compared: made@one, made@two" in said[1]


def test_other_queries_are_left_out_and_said(tmp_path):
    make_run(tmp_path / "a", {"m": 0.5}, run="a")
    other = make_run(tmp_path / "b", {"n": 0.7}, run="b")
    for path in (other / "records").iterdir():
        frame = pd.read_parquet(path)
        frame.assign(queries_fingerprint="others").to_parquet(path)
    text = build([tmp_path], tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "comparisons.csv")) == 0
    assert "m and n on made had different queries in 3 seeds" in text
    assert not list((tmp_path / "out" / "figures").glob("*-classes.*"))


def test_classes_are_compared_over_shared_seeds_alone(tmp_path):
    make_run(tmp_path / "a", {"m": 0.5}, run="a", seeds=(0, 1))
    make_run(tmp_path / "b", {"n": 0.7}, run="b", seeds=(1, 2))
    build([tmp_path], tmp_path / "out")
    (path,) = (tmp_path / "out" / "figures").glob("*-classes.csv")
    found = pd.read_csv(path).set_index("class")["difference"]
    cells = pd.concat(pd.read_parquet(p) for p in tmp_path.glob("?/predictions/*.parquet"))
    last = cells[(cells["session"] == 2) & cells["cell"].str.contains(r"-1-\d+-\d+-[ab]$")]
    right = (last["label"] == last["prediction"]).groupby([last["cell"].str[-1], last["label"]]).mean()
    assert found.sort_index().to_numpy() == pytest.approx((right["b"] - right["a"]).to_numpy(), abs=1e-6)


def test_several_encoders_of_one_run_are_no_other_data(tmp_path):
    make_run(tmp_path / "a", {"m": 0.5}, datasets=("pets@photos", "pets@glyphs"), run="a")
    assert differences(read_runs([tmp_path])) == ({}, [])
