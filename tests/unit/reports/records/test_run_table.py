"""Reading runs."""

import json

import pytest

from bench.reports.report import build
from bench.utils.errors import BenchError
from bench.utils.version import SCHEMA
from tests.statistics.runs import make_run

METHODS = {"bad": 0.4, "fair": 0.6, "good": 0.8}


def test_a_run_that_skipped_everything_says_why(tmp_path):
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.5}, status="skipped", reason="needs texts")
    said = "every cell was skipped: m was skipped on made: needs texts; n was skipped on made: needs texts"
    with pytest.raises(BenchError, match=said):
        build([folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_records_of_another_run_are_one_line(tmp_path):
    folder = make_run(tmp_path / "r", METHODS)
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(manifest | {"run": "other"}))
    with pytest.raises(BenchError, match="is the folder of run other and holds records of run abc123; move those"):
        build([folder], tmp_path / "out")


@pytest.mark.parametrize("where", ["manifest", "records"])
def test_a_newer_schema_is_refused(tmp_path, where):
    newer = {"schema": SCHEMA + 1} if where == "records" else {}
    folder = make_run(tmp_path / "r", {"good": 0.8}, **newer)
    if where == "manifest":
        manifest = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(manifest | {"schema": SCHEMA + 1}))
    with pytest.raises(BenchError, match="newer version"):
        build([folder], tmp_path / "out")
