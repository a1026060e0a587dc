"""Memories larger than RAM: read through a map, never copied whole to float32, refused where the disk is too small."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.core import features as features_module
from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items
from bench.data.import_features import Options, import_pack, read_arrays
from bench.data.manifest import FORMAT
from bench.data.pack import write_arrays, write_manifest, write_split
from bench.data.registry import resolve
from bench.functional.classwise import class_sums, normalise
from bench.results.run_folder import read_records
from bench.runner.config import RunConfig
from bench.runner.loop import execute
from bench.runner.plan import plan
from bench.sampling.sessions import exclude
from bench.utils import atomic, hashing
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.random import Stream
from tests import toy

D, CLASSES = 16, 5
NAMES = tuple(f"class {c}" for c in range(CLASSES))


def points(count: int, purpose: str) -> tuple[torch.Tensor, torch.Tensor]:
    draw = Stream(0).child("large", purpose).numpy()
    labels = torch.arange(count) % CLASSES
    x = torch.from_numpy(toy.centres(CLASSES)[:, :D])[labels] + 0.1 * torch.from_numpy(draw.standard_normal((count, D)))
    return x.half(), labels


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Return a pack whose split ``memory`` is its image memory."""
    folder = tmp_path / "pack"
    splits = {
        name: write_split(folder, name, *points(n, name)) for name, n in (("memory", 400), ("train", 50), ("test", 30))
    }
    write_manifest(
        folder,
        {
            "format": FORMAT,
            "name": "large",
            "dimension": D,
            "classes": list(NAMES),
            "splits": splits,
            "roles": {"support": ["train"], "query": ["test"]},
            "memory": {"images": [{"split": "memory"}]},
        },
    )
    return folder


def mapped(x: torch.Tensor) -> bool:
    """Return whether a tensor lies in a mapped file."""
    start = x.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if low <= start < high:
            return line.endswith(".safetensors")
    return False


needs_maps = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="mapped files are listed on Linux alone")


@needs_maps
def test_the_memory_of_a_pack_stays_in_its_file_up_to_the_search(pack: Path) -> None:
    dataset = resolve(str(pack))
    assert mapped(dataset.memory.images.x)
    assert mapped(dataset.memory.restrict(range(CLASSES)).images.x)
    assert mapped(dataset.memory.to("cpu").images.x)
    assert not mapped(dataset.memory.restrict([0]).images.x)


def test_no_part_of_a_run_turns_a_whole_memory_to_float32(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every conversion of the memory is watched while k-NN and prototypes run with blocks of 64 rows.

    The recall is left out: what exact search holds at a time is a matter of its own tests.
    """
    for block in (
        "core.features._BLOCK",
        "functional.classwise._ROWS",
        "search.approximate.faiss_index._BLOCK",
        "search.threshold._BLOCK",
    ):
        monkeypatch.setattr(f"bench.{block}", 64)
    monkeypatch.setattr("bench.search.approximate.recall.recall_at", lambda *_: 1.0)
    rows: list[int] = []
    memory = resolve(str(pack)).memory.images.x
    first = memory.data_ptr()

    def watch(name: str) -> None:
        plain = getattr(torch.Tensor, name)

        def watched(self: torch.Tensor) -> torch.Tensor:
            # Parts of the memory as it is stored, not candidates gathered from it.
            if first <= self.data_ptr() < first + memory.nbytes and self.dtype == torch.float16:
                rows.append(len(self))
            converted: torch.Tensor = plain(self)
            return converted

        monkeypatch.setattr(torch.Tensor, name, watched)

    for name in ("float", "double"):
        watch(name)
    planned = plan(
        RunConfig(
            scenario="memory-size",
            methods=["knn:k=3", "protonet"],
            data=[pack],
            seeds=1,
            set={"memory-size.seen": 0, "memory-size.sizes": [None]},
            out=tmp_path,
            search="hnsw:m=4:ef=8:candidates=8",
        )
    )
    execute(planned, arguments=["test"])
    records = read_records(planned.folder)
    assert (records["memory_items"] == 400).all()
    assert (records["n_correct"] > 20).all()
    assert sum(rows) > 3 * 400
    assert max(rows) <= 64


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = points(333, "blocks")
    ids = np.array([f"item {n}" for n in range(333)])
    whole = Features(x, labels, ids, NAMES)
    before = (digest(ids), whole.row_digests.tolist(), class_sums(x, labels, CLASSES, unit=True))
    monkeypatch.setattr(features_module, "_BLOCK", 50)
    monkeypatch.setattr("bench.functional.classwise._ROWS", 50)
    monkeypatch.setattr(hashing, "_STRINGS", 50)
    again = Features(x, labels, ids, NAMES)
    assert digest(ids) == before[0]
    assert again.row_digests.tolist() == before[1]
    assert np.concatenate(list(again.digest_blocks())).tolist() == before[1]
    assert torch.equal(class_sums(x, labels, CLASSES, unit=True), before[2])
    naive = torch.stack([normalise(x[labels == c]).double().sum(0) for c in range(CLASSES)])
    torch.testing.assert_close(before[2], naive)


def test_rows_that_are_elsewhere_are_left_out_of_large_features_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "_BLOCK", 7)
    x, labels = points(40, "apart")
    every = Features(x, labels, np.array([str(n) for n in range(40)]), NAMES)
    left = exclude(every, [every.take(list(range(0, 40, 2))), every.take([1, 3])])
    assert left.ids.tolist() == [str(n) for n in range(5, 40, 2)]
    assert exclude(every, []) is every


def test_taking_all_classes_copies_nothing() -> None:
    x, labels = points(10, "all")
    every = Features(x, labels, np.array([str(n) for n in range(10)]), NAMES)
    assert every.of_classes(list(range(CLASSES))) is every
    assert every.take(torch.ones(10, dtype=torch.bool)) is every
    assert every.take(list(range(9, -1, -1))).ids.tolist() == [str(n) for n in range(9, -1, -1)]
    assert Items.of_features(every, "s").of_classes(range(99)).x is x
    assert len(every.of_classes([0, 1])) == 4


def full_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=free, used=0, free=free))


def test_a_pack_larger_than_the_disk_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels = points(2000, "import")
    np.savez(
        tmp_path / "in.npz",
        train_x=x.numpy(),
        train_y=labels.numpy(),
        test_x=x[:20].numpy(),
        test_y=labels[:20].numpy(),
    )
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    full_disk(monkeypatch, 10_000)
    with pytest.raises(BenchError, match=r"the pack large takes .* free some space"):
        import_pack([tmp_path / "in.npz"], tmp_path / "classes.txt", tmp_path / "out", Options(name="large"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(BenchError, match=r"memory.safetensors takes .* GiB free"):
        write_split(tmp_path / "other", "memory", x, labels)
    assert not (tmp_path / "other").exists()
    full_disk(monkeypatch, 10**9)
    assert import_pack([tmp_path / "in.npz"], tmp_path / "classes.txt", tmp_path / "out", Options(name="large"))


def test_a_folder_that_is_not_there_yet_is_measured_by_its_parent(tmp_path: Path) -> None:
    atomic.require_space(tmp_path / "a" / "b", 1, what="a thing")
    with pytest.raises(BenchError, match="a thing takes"):
        atomic.require_space(tmp_path / "a" / "b", 2**70, what="a thing")


def test_a_pack_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_arrays(tmp_path, "arrays", {"x": torch.zeros(2, 3)})
    assert (tmp_path / "arrays.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arrays.safetensors", "plain"]


def test_large_arrays_are_imported_through_a_map(tmp_path: Path) -> None:
    np.save(tmp_path / "train_x.npy", np.ones((4, 3), dtype=np.float16))
    assert isinstance(read_arrays([tmp_path / "train_x.npy"])["train_x"], np.memmap)


def test_a_run_says_which_engine_searched_and_how_well(tmp_path: Path) -> None:
    data: Dataset = toy.dataset()
    frames = {}
    for search in ("exact", "sq8", "hnsw:m=4:ef=8:candidates=8"):
        planned = plan(
            RunConfig(
                scenario="memory-size",
                methods=["knn:k=3", "protonet"],
                data=[data],
                seeds=1,
                set={"memory-size.seen": 0, "memory-size.sizes": [2, None]},
                out=tmp_path,
                search=search,
            )
        )
        execute(planned, arguments=["test"])
        frames[search] = read_records(planned.folder)
    assert len({frame["run"].iloc[0] for frame in frames.values()}) == 3
    exact, approximate = frames["exact"], frames["sq8"]
    searched = exact["method_name"] == "knn"
    assert (exact.loc[searched, "search"] == "exact-fp32").all()
    assert exact.loc[~searched, "search"].isna().all()
    assert exact["search_recall"].isna().all()
    knn = approximate[approximate["method_name"] == "knn"]
    assert (knn["search"] == "sq8:candidates=128").all()
    assert (knn["search_recall"] == 1).all()
    assert approximate.loc[approximate["method_name"] == "protonet", "search_recall"].isna().all()
    details = [json.loads(text)[0] for text in knn["search_details"]]
    assert {(d["items"], d["k"], d["sampled_queries"]) for d in details} == {(20, 3, 50), (80, 3, 50)}
    assert (knn["index_seconds"] > 0).all()
    assert (approximate["n_correct"] == exact["n_correct"]).all()
