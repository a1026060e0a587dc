"""Results that another version wrote: another schema is refused in one line, and columns added since are null."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from bench.results.checks import _sums
from bench.results.run_folder import Store, read_predictions, read_records
from bench.utils.errors import BenchError
from bench.utils.version import SCHEMA
from tests.statistics.runs import make_run

RECORD = {
    "schema": [SCHEMA],
    "run": ["r"],
    "cell": ["c"],
    "status": ["ok"],
    "method": ["knn"],
    "scenario": ["incremental"],
    "dataset": ["made"],
    "condition": ["{}"],
    "session": [0],
    "seed": [0],
    "build_seconds": [1.5],
}


def write(folder, name, table, schema=SCHEMA):
    (folder / name).mkdir(parents=True, exist_ok=True)
    made = pa.table(table).replace_schema_metadata({"retrieval_bench_schema": str(schema)})
    pq.write_table(made, folder / name / "c.parquet")


def test_an_older_schema_and_a_newer_one_are_refused(tmp_path):
    write(tmp_path / "a", "records", {**RECORD, "schema": [SCHEMA - 1]})
    with pytest.raises(BenchError, match=f"has schema {SCHEMA - 1}, which .* cannot read; delete it and run again"):
        read_records(tmp_path / "a")
    write(tmp_path / "b", "records", {**RECORD, "schema": [SCHEMA + 1]})
    with pytest.raises(BenchError, match="newer version"):
        read_records(tmp_path / "b")
    write(tmp_path / "b", "predictions", {"cell": ["c"]}, SCHEMA + 1)
    with pytest.raises(BenchError, match="newer version"):
        read_predictions(tmp_path / "b")


def test_a_table_of_several_schemas_is_refused(tmp_path):
    rows = {name: values * 2 for name, values in RECORD.items()}
    write(tmp_path, "records", {**rows, "schema": [SCHEMA, SCHEMA - 1]})
    with pytest.raises(BenchError, match=f"has schema {SCHEMA - 1}"):
        read_records(tmp_path)


@pytest.mark.parametrize("number", [SCHEMA - 1, SCHEMA + 1])
def test_a_run_of_another_schema_is_neither_reported_nor_continued(tmp_path, number):
    folder = make_run(tmp_path / "r", {"m": 0.5})
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, "schema": number}))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for use in (lambda: build([folder], tmp_path / "out"), lambda: Store(folder).open(manifest)):
        with pytest.raises(BenchError, match="newer version" if number > SCHEMA else f"has schema {number}") as refused:
            use()
        assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize("sizes", [[], [0], [0, 0, 3], [2, 0, 1, 0], [1, 1, 4], [0, 5, 0]])
def test_sums_of_lists_are_those_of_their_values(sizes: list[int]) -> None:
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    values = np.random.default_rng(0).integers(0, 256, ends[-1]).astype(np.uint8)
    expected = [sum(values[start:end].tolist()) for start, end in pairwise(ends)]
    assert _sums(values, ends).tolist() == expected
