"""Names of classes, as the runs give them."""

import json

from bench.reports.records.class_names import name_of, of_runs, short
from bench.reports.records.run_table import read_runs
from tests.statistics.runs import make_run


def test_names_follow_data_sets_that_are_told_apart(tmp_path):
    a = {"class_names": {"made": ["x"] * 6}}
    b = {"class_names": {"made": ["y"] * 6}}
    make_run(tmp_path / "a", {"m": 0.5}, run="a", features_fingerprint="aaaaaaaa", manifest=a)
    make_run(tmp_path / "b", {"m": 0.5}, run="b", features_fingerprint="bbbbbbbb", manifest=b)
    names = read_runs([tmp_path]).class_names
    assert {key: values[0] for key, values in names.items()} == {"made@aaaaaa": "x", "made@bbbbbb": "y"}


def test_names_fall_back_to_ids_and_are_cut():
    assert of_runs({"r": json.loads("{}")}, {("r", "d", "d")}) == {}
    assert name_of(["cat"], 0) == "cat"
    assert name_of(["cat"], 7) == "7"
    assert short("a" * 24) == "a" * 24
    assert len(short("a" * 60)) == 24
    # Names of one kind begin alike, so that the end stays.
    assert short("greek capital letter epsilon with dasia and varia") != short(
        "greek capital letter epsilon with dasia and oxia"
    )
