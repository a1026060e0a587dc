"""Work units, shards, orders and the scheduler, without processes."""

from __future__ import annotations

import dataclasses
import io
import json
import socket
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bench as package
from bench.device import gpus
from bench.results.run_folder import Files, Store
from bench.runner.config import RunConfig
from bench.runner.events import Began, CellSummary, Finished, RunLog
from bench.runner.loop import execute
from bench.runner.parallel import ray_pool
from bench.runner.parallel.job_spec import JobSpec, job_spec
from bench.runner.parallel.merge_shards import merge
from bench.runner.parallel.scheduler import Process, WorkerError, WorkerLost, distribute, process_pool
from bench.runner.parallel.work_units import Shard, WorkUnit, work_units
from bench.runner.plan import Run, plan
from bench.utils.errors import BenchError, Notice
from tests import toy

deals_of = st.tuples(st.integers(1, 12), st.integers(1, 7)).map(
    lambda size: [{f"m{m}": f"{hash((d, m)) % 10**8:08d}-{d}-{m}" for m in range(size[1])} for d in range(size[0])]
)


def cells(work: list[WorkUnit]) -> list[str]:
    return [cell for unit in work for cell in unit.cells.values()]


@given(deals_of, st.integers(1, 9), st.randoms())
def test_pieces_hold_every_unfinished_cell_once_and_keep_workers_busy(deals, workers, random) -> None:  # type: ignore[no-untyped-def]
    every = [cell for deal in deals for cell in deal.values()]
    finished = set(random.sample(every, random.randint(0, len(every))))
    work = work_units(deals, finished, workers)
    assert sorted(cells(work)) == sorted(set(every) - finished)
    assert all(unit.cells.items() <= deals[unit.episode].items() for unit in work)
    left = len([deal for deal in deals if set(deal.values()) - finished])
    whole = left // workers * workers
    assert [p.episode for p in work[:whole]] == sorted({p.episode for p in work})[:whole], (
        "a deal was split without need"
    )


@given(deals_of, st.integers(1, 9))
def test_shards_share_the_cells_out_evenly(deals, count) -> None:  # type: ignore[no-untyped-def]
    parts = [Shard(n, count).of(deals) for n in range(1, count + 1)]
    sizes = [sum(map(len, part)) for part in parts]
    assert sorted(c for part in parts for deal in part for c in deal.values()) == sorted(
        c for deal in deals for c in deal.values()
    )
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match=r"is not NUMBER/COUNT; write 1/8 to 8/8"):
        Shard.parse(text)


def summary_of(cell: str) -> CellSummary:
    return CellSummary(cell=cell, status="ok", method="m", dataset="d", seed=0)


class Scripted:
    """A worker that dies at the cells of a list, once an entry."""

    def __init__(self, deadly: list[str], log: list[str]) -> None:
        self.deadly, self.log, self.open = deadly, log, True

    def ready(self) -> None:
        if "start" in self.deadly:
            self.deadly.remove("start")
            raise WorkerLost("signal SIGKILL")

    def work(self, unit: WorkUnit) -> Iterator[Began | Finished]:
        for cell in unit.cells.values():
            yield Began(cell, f"method on data, {cell}")
            if cell in self.deadly:
                self.deadly.remove(cell)
                raise WorkerLost("signal SIGKILL")
            if cell == "broken":
                raise WorkerError("Traceback: no luck")
            self.log.append(cell)
            yield Finished(cell, Files(record=cell.encode(), predictions=None), summary_of(cell))

    def close(self) -> None:
        self.open = False


WORK = [WorkUnit(0, {"a": "a0", "b": "b0", "c": "c0"}), WorkUnit(1, {"a": "a1", "b": "b1", "c": "c1"})]


def run(
    work: list[WorkUnit], deadly: list[str], folder: Path, count: int = 2, log: RunLog | None = None
) -> tuple[list[str], list[Scripted]]:
    """Distribute work units over scripted workers; return the cells in the order in which they were computed."""
    order: list[str] = []
    started: list[Scripted] = []

    def start(number: int) -> Scripted:
        started.append(Scripted(deadly, order))
        return started[-1]

    before = set(threading.enumerate())
    try:
        distribute(work, count, start, Store(folder), log or RunLog())
    finally:
        # Threads that other tests left may end at any time.
        assert set(threading.enumerate()) <= before
        assert not any(worker.open for worker in started), "a worker was left running"
    return order, started


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_cell_is_computed_once_and_written(tmp_path: Path, count: int) -> None:
    log, _ = run(WORK, [], tmp_path, count)
    assert sorted(log) == sorted(cells(WORK))
    assert Store(tmp_path).finished() == set(cells(WORK))


@pytest.mark.parametrize("victim", ["a0", "b0", "c1"])
def test_the_cells_of_a_lost_worker_run_again(tmp_path: Path, victim: str) -> None:
    log, started = run(WORK, [victim], tmp_path, count=1)
    assert sorted(log) == sorted(cells(WORK)), "a cell was lost or a finished one was repeated"
    assert len(started) == 2, "a worker was lost and replaced"


@pytest.mark.parametrize("after", ["a0", "b0", "c0", "c1"])
def test_a_worker_that_is_lost_between_two_cells_loses_none(tmp_path: Path, after: str) -> None:
    log: list[str] = []

    class Between(Scripted):
        def work(self, unit: WorkUnit) -> Iterator[Began | Finished]:
            for cell in unit.cells.values():
                yield Began(cell, cell)
                self.log.append(cell)
                yield Finished(cell, Files(record=cell.encode(), predictions=None), summary_of(cell))
                if cell in self.deadly:
                    self.deadly.remove(cell)
                    raise WorkerLost("signal SIGKILL")

    deadly = [after]
    distribute(WORK, 1, lambda number: Between(deadly, log), Store(tmp_path), RunLog())
    assert sorted(log) == sorted(cells(WORK)), "a cell was lost or a finished one was repeated"
    assert Store(tmp_path).finished() == set(cells(WORK))


def test_a_cell_that_kills_twice_is_named_and_all_others_finish(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        run(WORK, ["b0", "b0"], tmp_path)
    assert str(caught.value) == (
        "method on data, b0 (cell b0) lost its worker 2 times: signal SIGKILL; all other cells are finished; give it "
        "more memory or leave it out, and run again"
    )
    assert Store(tmp_path).finished() == set(cells(WORK)) - {"b0"}


def test_a_worker_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    run(WORK, ["start"], tmp_path / "once")
    with pytest.raises(BenchError, match="a worker stopped before it could begin: signal SIGKILL"):
        run(WORK, ["start"] * 4, tmp_path / "always")


def test_an_error_of_a_method_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="no luck"):
        run([WorkUnit(0, {"a": "a0", "b": "broken"})], [], tmp_path)
    assert Store(tmp_path).finished() == {"a0"}


def planned(tmp_path: Path, **changes: Any) -> Run:
    return plan(
        RunConfig(**{"methods": ["knn", "protonet"], "data": ["digits"], "seeds": 2, "out": tmp_path, **changes})
    )


def test_an_order_is_one_line_that_plans_the_same_run(tmp_path: Path) -> None:
    run = planned(tmp_path, set={"protonet.temperature": [0.1, 1.0]}, seeds=[0, 4], oracle=("knn.k=1,4",))
    line = job_spec(run, ["run"], 1).to_json()
    assert "\n" not in line
    again = JobSpec.from_json(line).plan(run.folder)
    assert [deal.cells for deal in again.episodes] == [deal.cells for deal in run.episodes]
    assert again.folder == run.folder


def test_other_code_or_data_in_a_worker_is_noticed(tmp_path: Path) -> None:
    told = json.loads(job_spec(planned(tmp_path), ["run"], 1).to_json())
    told["config"]["seeds"] = [7]
    with pytest.raises(BenchError, match="other code or other data"):
        JobSpec(**told).plan(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": [toy.dataset()]}, "data set toy is an object of this process"),
        ({"set": {"incremental.classes": "all", "knn.k": (3, 5)}}, r"knn.k=\(3, 5\) cannot be sent"),
    ],
)
def test_what_cannot_be_sent_to_a_worker_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    run = planned(tmp_path)
    with pytest.raises(BenchError, match=words):
        job_spec(dataclasses.replace(run, config=run.config.model_copy(update=changes)), ["run"], 1)


def test_objects_of_a_notebook_are_refused_by_name_and_leave_no_folder(tmp_path: Path) -> None:
    from bench.methods.knn import KNN

    for method in (KNN(), KNN):
        with pytest.raises(BenchError, match="method KNN is an object of this process and cannot be sent to a worker"):
            package.run("incremental", [method], "digits", seeds=1, jobs=2, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_jobs_is_refused() -> None:
    with pytest.raises(BenchError, match="--jobs 0 leaves nobody to work"):
        package.run("incremental", ["knn"], "digits", seeds=1, jobs=0)


def cards(monkeypatch: pytest.MonkeyPatch, *sizes: int) -> None:
    """Pretend that this machine has GPUs of these sizes in GiB."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(sizes))
    found = [SimpleNamespace(name=f"card-{size}", total_memory=size << 30) for size in sizes]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: found[number])


@pytest.mark.parametrize(
    ("sizes", "visible", "expected"),
    [
        ((80, 80), None, ["0", "1", "0", "1"]),
        ((80, 80, 80), "5, 2,GPU-7", ["5", "2", "GPU-7", "5"]),
        ((80,), None, [None] * 4),
        ((), "", [None] * 4),
    ],
)
def test_workers_take_the_visible_gpus_in_turn(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], visible: str | None, expected: list[str | None]
) -> None:
    cards(monkeypatch, *sizes)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpus.share("cuda", n).get("CUDA_VISIBLE_DEVICES") for n in range(4)] == expected
    assert not gpus.share("cpu", 1)


def test_a_process_is_told_its_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cards(monkeypatch, 24, 24)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    told = JobSpec({"device": "cuda"}, "r", [], 1)
    environments = []
    for number in range(3):
        process = SimpleNamespace(stdin=io.StringIO())
        Process(told, Store(tmp_path), gpus.share("cuda", number), deque([cast(Any, process)]))
        environments.append(json.loads(process.stdin.getvalue())[2])
    assert environments == [{"CUDA_VISIBLE_DEVICES": n} for n in ("0", "1", "0")]


@pytest.mark.parametrize(("sizes", "jobs", "told"), [((24, 80), 2, True), ((24, 80), 1, False), ((80, 80), 2, False)])
def test_gpus_of_different_size_are_said(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sizes: tuple[int, ...],
    jobs: int,
    told: bool,
) -> None:
    cards(monkeypatch, *sizes)
    run = dataclasses.replace(planned(tmp_path), device="cuda")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        process_pool(run, Store(tmp_path), jobs, ["run"], deque())
    texts = [str(one.message) for one in heard if issubclass(one.category, Notice)]
    assert len(texts) == told
    assert all(text.startswith("the GPUs differ (card-24 of 24 GiB, card-80 of 80 GiB)") for text in texts)


class Recorded:
    """Ray's calls, kept; a cluster with room for what it is told."""

    def __init__(self, **room: float) -> None:
        self.room, self.started, self.actors = room, [], []
        self.exceptions = SimpleNamespace(RayTaskError=RuntimeError, RayError=OSError)

    def init(self, **options: Any) -> None:
        self.started.append(options)
        if options.get("num_gpus"):
            self.room["GPU"] = options["num_gpus"]

    def cluster_resources(self) -> dict[str, float]:
        return self.room

    def remote(self, **options: Any) -> Any:
        self.actors.append(options)
        return lambda cls: cls

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize(
    ("address", "device", "sizes", "jobs", "count", "each"),
    [
        ("local", "cuda", (80, 80), None, 2, 1),
        ("local", "cuda", (80, 80), 2, 2, 1),
        ("local", "cuda", (80, 80), 1, 1, 1),
        ("local", "cuda", (80, 80), 5, 5, 1 / 3),
        ("local", "cpu", (80, 80), 3, 3, 0),
        ("auto", "cuda", (80,), None, 8, 1),
        ("auto", "cuda", (80,), 12, 12, 1),
    ],
)
def test_each_worker_on_ray_asks_for_its_gpu(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    address: str,
    device: str,
    sizes: tuple[int, ...],
    jobs: int | None,
    count: int,
    each: float,
) -> None:
    cards(monkeypatch, *sizes)
    ray = Recorded(CPU=4.0, **({"GPU": 8.0} if address == "auto" else {}))
    monkeypatch.setattr(ray_pool, "_ray", lambda: ray)
    monkeypatch.setattr(ray_pool, "_refusal", lambda _: None)
    run = dataclasses.replace(planned(tmp_path), device=device)
    with ray_pool.actor_pool(run, address, jobs, ["run"]) as pool:
        assert pool.count == count
    assert ray.actors[0]["num_gpus"] == each
    if address == "local":
        assert ray.started[0]["num_gpus"] == (len(sizes) if device == "cuda" else 0)


def test_a_cluster_of_different_gpus_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kinds = {"accelerator_type:H200": 1.0, "accelerator_type:L4": 1.0}
    ray = Recorded(CPU=4.0, GPU=2.0, **kinds)
    monkeypatch.setattr(ray_pool, "_ray", lambda: ray)
    monkeypatch.setattr(ray_pool, "_refusal", lambda _: None)
    run = planned(tmp_path)
    with ray_pool.actor_pool(run, "auto", None, ["run"]):
        pass
    with (
        pytest.warns(Notice, match=r"the GPUs differ \(H200, L4\)"),
        ray_pool.actor_pool(dataclasses.replace(run, device="cuda"), "auto", None, ["run"]),
    ):
        pass


class Fading(Recorded):
    """A cluster that gives no worker a place, with machines that are there or gone."""

    def __init__(self, alive: bool) -> None:
        super().__init__()
        self.alive = alive

    def wait(self, references: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return [], references

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": self.alive}]


@pytest.mark.parametrize(
    ("alive", "device", "words"),
    [
        (False, "cpu", "the Ray cluster is gone: none of its machines answers; finished cells are kept"),
        (True, "cpu", r"the Ray cluster gave a worker no place in 0 s; ask for fewer --jobs"),
        (True, "cuda", r"gave a worker no place with a GPU in 0 s"),
    ],
)
def test_a_worker_that_finds_no_place_is_one_line(
    monkeypatch: pytest.MonkeyPatch, alive: bool, device: str, words: str
) -> None:
    monkeypatch.setattr(ray_pool, "_START_SECONDS", 0.0)
    actor = SimpleNamespace(remote=lambda _: SimpleNamespace(ready=SimpleNamespace(remote=lambda: None)))
    placed = ray_pool.RayWorker(Fading(alive), actor, JobSpec({"device": device}, "r", [], 1))
    with pytest.raises(BenchError, match=words) as caught:
        placed.ready()
    assert "\n" not in str(caught.value)


def test_a_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Slow(Recorded):
        def init(self, **options: Any) -> None:
            raise Exception("The current node timed out during startup.\nThis could happen because.")

    monkeypatch.setattr(ray_pool, "_ray", Slow)
    with (
        pytest.raises(BenchError, match=r"Ray did not start on this machine \(The current node timed out") as caught,
        ray_pool.actor_pool(planned(tmp_path), "local", 2, ["run"]),
    ):
        pass
    assert "\n" not in str(caught.value)


class NoCluster:
    """Ray as it is where nothing answers."""

    def init(self, **options: Any) -> None:
        raise ConnectionError("could not find any\nrunning Ray instance")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("auto", r"no Ray cluster answers at auto \(could not find any running Ray instance\); start it with"),
        ("somewhere", "'somewhere' is no address; write local, auto, HOST:PORT or ray://HOST:PORT"),
        ("127.0.0.1:0", "no Ray cluster answers at 127.0.0.1:0"),
        ("ray://127.0.0.1:99999", "no Ray cluster answers at ray://127.0.0.1:99999"),
    ],
)
def test_a_ray_address_that_does_not_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    monkeypatch.setattr(ray_pool, "_refusal", lambda _: None)
    with pytest.raises(BenchError, match=words) as caught:
        ray_pool._connect(NoCluster(), address, None, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_something_that_listens_and_is_no_ray_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setattr(ray_pool, "_JOIN", "import time; time.sleep(60)")
    monkeypatch.setattr(ray_pool, "_JOIN_SECONDS", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"{scheme}127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(BenchError, match=rf"no Ray cluster answers at {address} \(something listens") as caught:
            ray_pool._connect(NoCluster(), address, None, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("pass", None),
        ("print('wrong\\nversion'); raise SystemExit(1)", "wrong\nversion"),
        ("import os; os.abort()", "Ray left with status -6"),
        (
            "import sys; sys.exit('rpc: InvalidAuthToken: missing')",
            "it asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as it was started with",
        ),
    ],
)
def test_why_a_cluster_cannot_be_joined(monkeypatch: pytest.MonkeyPatch, code: str, reason: str | None) -> None:
    monkeypatch.setattr(ray_pool, "_JOIN", code)
    assert ray_pool._refusal("auto") == reason


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
