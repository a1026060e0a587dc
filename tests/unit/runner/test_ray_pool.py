"""Workers on a Ray cluster, on recorded calls."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.runner.parallel import ray_pool
from bench.runner.parallel.job_spec import JobSpec
from bench.utils.errors import BenchError, Notice
from tests.unit.runner.runs import cards, planned


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


@pytest.mark.parametrize("answers", [True, False])
def test_a_worker_that_ends_leaves_no_folder_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    actor = ray_pool.RayActor(JobSpec({"device": "cpu"}, "r", [], 1).to_json())
    (folder,) = tmp_path.iterdir()
    (folder / "checkpoint").touch()
    did = []

    class Ending(Recorded):
        def wait(self, references: list[Any], timeout: float) -> None:
            did.append("waited")
            if not answers:
                raise OSError("its actor died")

        def kill(self, handle: Any) -> None:
            did.append("killed")

    handle = SimpleNamespace(leave=SimpleNamespace(remote=actor.leave))
    started = SimpleNamespace(remote=lambda _: handle)
    ray_pool.RayWorker(Ending(), started, JobSpec({"device": "cpu"}, "r", [], 1)).close()
    assert did == ["waited", "killed"]
    assert not list(tmp_path.iterdir())
