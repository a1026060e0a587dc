"""The one file of a large run's records: what it holds, when it is believed, and who writes it."""

import os
import shutil

import pytest

from bench.reports.report import build
from bench.results import consolidated
from bench.results.consolidated import NAME, read_joined, record_files, write_joined
from bench.results.run_folder import read_records
from bench.results.schema import COLUMNS
from bench.runner.config import RunConfig
from bench.runner.loop import execute
from bench.runner.parallel.merge_shards import merge
from bench.runner.parallel.work_units import Shard
from bench.runner.plan import plan
from tests.statistics.runs import make_run


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch):
    monkeypatch.setattr(consolidated, "_FROM", 4)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", {"good": 0.8, "bad": 0.6})


def test_records_and_reports_are_the_same_with_it_and_without(run, tmp_path):
    before = read_records(run)
    build([run], tmp_path / "before")
    write_joined(run)
    assert read_joined(run) is not None
    assert read_records(run).equals(before)
    build([run], tmp_path / "after")
    assert contents(tmp_path / "after") == contents(tmp_path / "before")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_what_is_read(run):
    write_joined(run)
    for path in record_files(run):
        about = path.stat()
        path.write_bytes(bytes(about.st_size))
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert len(read_records(run)) == 18


def test_columns_can_be_left_out(run):
    write_joined(run)
    found = read_joined(run, without=set(COLUMNS) - {"cell", "classes", "train_flops"})
    assert found.column_names == ["cell", "classes", "train_flops"]
    assert found["train_flops"].null_count == len(found) == 18


def rewrite(run):
    (first, *_) = record_files(run)
    first.write_bytes(first.read_bytes() + b" ")


def touch(run):
    (first, *_) = record_files(run)
    os.utime(first, ns=(1, 1))


def lose(run):
    (first, *_) = record_files(run)
    first.unlink()


def add(run):
    (first, *_) = record_files(run)
    shutil.copy(first, first.with_stem("another"))


def damage(run):
    path = run / NAME
    path.write_bytes(path.read_bytes()[:-100])


def empty(run):
    (run / NAME).write_bytes(b"")


@pytest.mark.parametrize("change", [rewrite, touch, lose, add, damage, empty])
def test_one_that_is_not_of_these_records_is_not_used(run, change):
    write_joined(run)
    change(run)
    assert read_joined(run) is None


def test_columns_of_another_version_are_not_believed(run, monkeypatch):
    write_joined(run)
    monkeypatch.setattr(consolidated, "COLUMNS", {**COLUMNS, "new": ("int", "of a later version")})
    assert read_joined(run) is None


def test_a_true_one_is_not_written_again(run):
    write_joined(run)
    # A time that no writing gives: two writings may be within one tick of the file system's clock.
    os.utime(run / NAME, ns=(1, 1))
    write_joined(run)
    assert (run / NAME).stat().st_mtime_ns == 1
    touch(run)
    write_joined(run)
    assert (run / NAME).stat().st_mtime_ns > 1


def test_small_runs_have_none(run):
    lose(run)
    lose(run)
    lose(run)
    write_joined(run)
    assert not (run / NAME).exists()


def test_a_run_and_a_merged_run_have_one(tmp_path):
    run = plan(
        RunConfig(scenario="supervised", methods=["knn", "protonet"], data=["digits"], seeds=5, out=tmp_path / "runs")
    )
    execute(run)
    assert len(read_joined(run.folder)) == 10
    shards = [run.shard(Shard(number, 2)) for number in (1, 2)]
    for shard in shards:
        execute(shard)
    folder, _ = merge([shard.folder for shard in shards], tmp_path / "merged")
    assert len(read_joined(folder)) == 10
