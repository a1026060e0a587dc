"""Results that another version wrote: older ones are upgraded, newer ones refused."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.reports.records.run_table import UNREAD, read_runs
from bench.reports.report import build
from bench.results import run_folder, schema
from bench.results.run_folder import read_predictions, read_records
from bench.results.schema import COLUMNS, PREDICTION_COLUMNS, Upgrade
from bench.utils.errors import BenchError
from bench.utils.version import SCHEMA
from tests.statistics.runs import make_run

OLD_RECORD = {
    "schema": [SCHEMA],
    "run": ["old"],
    "cell": ["c"],
    "status": ["ok"],
    "algorithm": ["knn"],
    "scenario": ["incremental"],
    "dataset": ["made"],
    "condition": ["{}"],
    "session": [0],
    "seed": [0],
    "build_milliseconds": [1500.0],
}


@pytest.fixture
def later(monkeypatch):
    """Pretend that two schemas came after the present one: a column was renamed, then another's unit changed."""

    def rename(table):
        return table.rename_columns(["method" if name == "algorithm" else name for name in table.column_names])

    def to_seconds(table):
        at = table.column_names.index("build_milliseconds")
        seconds = [value / 1000 for value in table["build_milliseconds"].to_pylist()]
        return table.set_column(at, "build_seconds", pa.array(seconds))

    def same(table):
        return table

    def guess(table):
        return table.rename_columns(["prediction" if name == "guess" else name for name in table.column_names])

    monkeypatch.setattr(schema, "SCHEMA", SCHEMA + 2)
    monkeypatch.setattr(run_folder, "SCHEMA", SCHEMA + 2)
    monkeypatch.setattr(schema, "UPGRADES", {SCHEMA: Upgrade(rename, guess), SCHEMA + 1: Upgrade(to_seconds, same)})


def write(folder, name, table, schema=SCHEMA):
    (folder / name).mkdir(parents=True, exist_ok=True)
    made = pa.table(table).replace_schema_metadata({"retrieval_bench_schema": str(schema)})
    pq.write_table(made, folder / name / "c.parquet")


def test_an_old_file_goes_through_every_step(tmp_path, later):
    write(tmp_path, "records", OLD_RECORD)
    write(tmp_path, "predictions", {"cell": ["c"], "session": [0], "query": ["q"], "label": [1], "guess": [2]})
    frame = read_records(tmp_path)
    assert frame["method"].tolist() == ["knn"]
    assert frame["build_seconds"].tolist() == [1.5]
    assert frame["schema"].tolist() == [SCHEMA + 2]
    assert set(COLUMNS) <= set(frame)
    assert frame["exemplars"].isna().all()
    predictions = read_predictions(tmp_path)
    assert predictions["prediction"].tolist() == [2]
    assert set(PREDICTION_COLUMNS) <= set(predictions)


def test_old_and_new_files_lie_side_by_side(tmp_path, later):
    write(tmp_path, "records", OLD_RECORD)
    (tmp_path / "records" / "c.parquet").rename(tmp_path / "records" / "old.parquet")
    new = {**OLD_RECORD, "schema": [SCHEMA + 2], "method": ["mml"], "build_seconds": [2.0]}
    del new["algorithm"], new["build_milliseconds"]
    write(tmp_path, "records", new, SCHEMA + 2)
    frame = read_records(tmp_path)
    assert dict(zip(frame["method"], frame["build_seconds"], strict=True)) == {"knn": 1.5, "mml": 2.0}


def test_a_schema_without_a_step_and_a_newer_one_are_refused(tmp_path):
    write(tmp_path / "a", "records", {**OLD_RECORD, "schema": [SCHEMA - 1]})
    with pytest.raises(BenchError, match=f"has schema {SCHEMA - 1}, which .* cannot upgrade; run again"):
        read_records(tmp_path / "a")
    write(tmp_path / "b", "records", {**OLD_RECORD, "schema": [SCHEMA + 1]})
    with pytest.raises(BenchError, match="newer version"):
        read_records(tmp_path / "b")
    write(tmp_path / "b", "predictions", {"cell": ["c"]}, SCHEMA + 1)
    with pytest.raises(BenchError, match="newer version"):
        read_predictions(tmp_path / "b")


def test_what_was_added_since_is_null_and_reported_all_the_same(tmp_path):
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.7})
    added = ["experiment", "n_near_duplicates", "n_near_duplicates_correct"]
    for path in (folder / "records").iterdir():
        pd.read_parquet(path).drop(columns=added).to_parquet(path)
    for path in (folder / "predictions").iterdir():
        pd.read_parquet(path).drop(columns="near_duplicate").to_parquet(path)
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({k: v for k, v in manifest.items() if k != "device"}))
    assert read_runs([folder]).records[added].isna().all(axis=None)
    assert "warning" in build([folder], tmp_path / "out")
    assert not (tmp_path / "out" / "audit.csv").exists()


def test_a_damaged_file_is_one_line(tmp_path):
    folder = make_run(tmp_path / "r", {"m": 0.5})
    for part in ("records", "predictions"):
        path = sorted((folder / part).iterdir())[0]
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BenchError, match=f"{path.name} cannot be read .*delete it and run again"):
            (read_records if part == "records" else read_predictions)(folder)
        path.write_bytes(whole)


def test_an_older_run_without_some_columns_is_reported_beside_a_newer_one(tmp_path):
    make_run(tmp_path / "old", {"a": 0.9}, run="old")
    make_run(tmp_path / "new", {"b": 0.5}, run="new")
    for path in (tmp_path / "old" / "records").iterdir():
        table = pq.read_table(path)
        lacking = ["encoder_flops", "train_flops", "gpu_joules", "memory_bytes"]
        pq.write_table(table.drop_columns([name for name in lacking if name in table.column_names]), path)
    loaded = read_runs([tmp_path])
    assert set(loaded.records["method"]) == {"a", "b"}
    assert loaded.records.loc[loaded.records["method"] == "a", "gpu_joules"].isna().all()


def as_before(folder, schema):
    """Rewrite a run as one of the schemas of `later` had it."""
    names = {"build_seconds": "build_milliseconds"}
    names |= {"method": "algorithm", "prediction": "guess"} if schema == SCHEMA else {}
    for path in (*(folder / "records").iterdir(), *(folder / "predictions").iterdir()):
        table = pq.read_table(path)
        if path.parent.name == "records":
            longer = [1000 * seconds for seconds in table["build_seconds"].to_pylist()]
            for column, values in {"build_seconds": longer, "schema": [schema] * len(table)}.items():
                table = table.set_column(table.column_names.index(column), column, pa.array(values))
        table = table.rename_columns([names.get(name, name) for name in table.column_names])
        pq.write_table(table.replace_schema_metadata({"retrieval_bench_schema": str(schema)}), path)


def test_runs_of_older_schemas_give_the_report_they_gave(tmp_path, request):
    runs = [make_run(tmp_path / "a", {"m": 0.5, "n": 0.7}, run="a"), make_run(tmp_path / "b", {"o": 0.6}, run="b")]
    build(runs, tmp_path / "expected")
    request.getfixturevalue("later")
    for run, number in zip(runs, (SCHEMA, SCHEMA + 1), strict=True):
        as_before(run, number)
    build(runs, tmp_path / "found")
    for name in ("summary.csv", "comparisons.csv", "tables/costs.tex"):
        assert (tmp_path / "found" / name).read_bytes() == (tmp_path / "expected" / name).read_bytes()


def test_a_step_meets_columns_that_reports_do_not_read(tmp_path, monkeypatch):
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.7})
    met = set()

    def step(table):
        met.update(table.column_names)
        return table

    monkeypatch.setattr(schema, "SCHEMA", SCHEMA + 1)
    monkeypatch.setattr(run_folder, "SCHEMA", SCHEMA + 1)
    monkeypatch.setattr(schema, "UPGRADES", {SCHEMA: Upgrade(step, step)})
    found = read_runs([folder]).records
    assert met >= set(UNREAD)
    assert not set(UNREAD) & set(found)
