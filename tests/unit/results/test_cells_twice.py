"""The same cell in two folders: used once, or both are said and neither is used silently."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.reports.records.run_table import read_runs
from bench.runner.config import RunConfig
from bench.runner.loop import execute
from bench.runner.parallel.merge_shards import merge
from bench.runner.parallel.work_units import Shard
from bench.runner.plan import plan
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run
from tests.unit.results.damage import fewer_right, first, refused, rewritten


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", {"good": 0.8, "bad": 0.6}, seeds=(0, 1))


def test_a_copy_of_a_record_in_the_same_folder_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.copy(first(run), first(run).with_stem("another"))
    assert "sessions of a cell twice" in refused(run)


def test_the_same_cells_in_two_folders_with_the_same_answers_are_used_once_and_in_silence(
    run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "copy")
    table = read_runs([run, tmp_path / "copy"])
    assert len(table.records) == 12
    assert not [line for line in table.warnings if "other answers" in line]


def test_the_same_cell_with_other_answers_is_said_with_both(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    rewritten(first(copy), fewer_right)
    cell = first(copy).stem
    (copy / "predictions" / f"{cell}.parquet").unlink()
    table = read_runs([run, copy])
    (line,) = [line for line in table.warnings if "other answers" in line]
    counts = [pd.read_parquet(first(folder))["n_correct"].iloc[-1] for folder in (copy, run)]
    assert all(f"{count} of 120 right in {place}" in line for count, place in zip(counts, (copy, run), strict=True))


def test_answers_that_only_change_places_are_other_answers(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))

    def swapped(frame: pd.DataFrame) -> pd.DataFrame:
        turned = [list(counts)[::-1] for counts in frame["class_correct"]]
        assert turned != list(map(list, frame["class_correct"]))
        return frame.assign(class_correct=turned)

    rewritten(first(copy), swapped)
    assert [line for line in read_runs([run, copy]).warnings if "other answers" in line]


def test_predictions_are_those_of_the_folder_that_the_record_is_from(run: Path, tmp_path: Path) -> None:
    """The newer folder's answers differ in confidence alone, so that no count tells the two apart."""
    copy = Path(shutil.copytree(run, tmp_path / "a-copy"))
    manifest = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(manifest | {"created": "2030-01-01T00:00:00+00:00"}))
    for path in (copy / "predictions").iterdir():
        rewritten(path, lambda frame: frame.assign(confidence=0.125))
    table = read_runs([run, copy])
    cells = [str(cell) for cell in table.records["cell"].unique()]
    assert set(table.predictions(cells)["confidence"]) == {0.125}


def test_a_cell_that_was_merged_before_with_other_answers_is_refused(tmp_path: Path) -> None:
    run = plan(RunConfig(scenario="supervised", methods=["protonet"], data=["digits"], seeds=2, out=tmp_path / "runs"))
    shards = [run.shard(Shard(number, 2)) for number in (1, 2)]
    for shard in shards:
        execute(shard)
    folders = [shard.folder for shard in shards]
    target, _ = merge(folders, tmp_path / "merged")
    assert merge(folders, tmp_path / "merged") == (target, 2)
    path = next((target / "predictions").iterdir())
    pd.read_parquet(path).assign(confidence=0.5).to_parquet(path)
    with pytest.raises(BenchError, match=f"cell {path.stem} has other answers in .* than in .*; remove one of them"):
        merge(folders, tmp_path / "merged")
