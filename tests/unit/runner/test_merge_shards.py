"""Shards merged into the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.results.run_folder import Store
from bench.runner.loop import execute
from bench.runner.parallel.merge_shards import merge
from bench.runner.parallel.work_units import Shard
from bench.runner.plan import Run
from bench.utils.errors import BenchError
from tests import toy
from tests.unit.runner.runs import planned


def test_merged_shards_are_the_run(tmp_path: Path) -> None:
    def plan(out: str) -> Run:
        return planned(tmp_path / out, methods=["knn", "protonet", "zero-shot"], seeds=3, data=[toy.dataset()])

    whole = plan("whole")
    execute(whole)
    parts = [plan("parts").shard(Shard(n, 2)) for n in (1, 2)]
    execute(parts[0])
    with pytest.raises(BenchError, match=r"[45] of 9 cells are missing \(all of shard 2/2\)"):
        merge([parts[0].folder], tmp_path / "merged")
    execute(parts[1])
    (victim, *_) = (parts[1].folder / "records").iterdir()
    kept = victim.read_bytes()
    victim.unlink()
    with pytest.raises(BenchError, match=r"1 of 9 cells are missing \(1 of shard 2/2\)"):
        merge([tmp_path / "parts"], tmp_path / "merged")
    victim.write_bytes(kept)
    folder, n = merge([tmp_path / "parts"], tmp_path / "merged")
    assert (folder.name, n) == (whole.folder.name, 9)
    assert Store(folder).finished() == Store(whole.folder).finished()
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "records").iterdir()}
    execute(plan("merged"))
    assert {path: path.stat().st_mtime_ns for path in (folder / "records").iterdir()} == stamps, "a cell ran again"
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["cells"] == 9
    assert "shard" not in manifest


def test_merge_refuses_what_does_not_fit(tmp_path: Path) -> None:
    def shard(n: int, count: int, out: str, **changes: Any) -> Path:
        part = planned(tmp_path / out, data=[toy.dataset()], **changes).shard(Shard(n, count))
        execute(part)
        return part.folder

    one, other = shard(1, 2, "a"), shard(2, 2, "b", seeds=[5, 6])
    twice, third = shard(1, 2, "c"), shard(1, 4, "d")
    whole = planned(tmp_path / "e", data=[toy.dataset()])
    execute(whole)
    for folders, words in (
        ([one, other], "are shards of different runs"),
        ([one, twice], "is in .* and in .*; give each shard once"),
        ([one, third], "is one of 2 shards, .* one of 4"),
        ([whole.folder], "is a whole run, not a shard"),
        ([tmp_path / "absent"], "no run in"),
    ):
        with pytest.raises(BenchError, match=words):
            merge(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()
