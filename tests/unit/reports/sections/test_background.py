"""Tables about the runs themselves."""

import json

from bench.reports.analysis import Analysis
from bench.reports.sections.background import background
from tests.statistics.runs import make_run


def test_provenance_has_no_word_of_python(tmp_path):
    told = {"gpu": None, "git_dirty": False, "deep": {"a": True, "b": ["c", None]}}
    run = make_run(tmp_path / "r", {"knn": 0.5}, seeds=(0,), sessions=1, provenance=json.dumps(told))
    (table,) = [table for table in background(Analysis.of([run])) if table.name == "provenance"]
    said = dict([cell.text for cell in row] for row in table.rows)
    assert {name: said[name] for name in ("gpu", "git_dirty", "deep.a", "deep.b")} == {
        "gpu": "-",
        "git_dirty": "no",
        "deep.a": "yes",
        "deep.b": "c -",
    }
