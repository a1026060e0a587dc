"""``bench run --ray``: the same work on the processors of a Ray cluster.

Each worker is an actor that plans the run from its job, as a local process does, and sends back the files of each
finished cell; only the process that started the run writes. The machines need no shared run folder, but the same
installation and the same packs under the same names or paths.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.cost.kept import Kept
from bench.device import gpus
from bench.runner.events import Began, Finished
from bench.runner.loop import perform, provenance_of
from bench.runner.parallel.interpreters import THREAD_VARIABLES, threads_each
from bench.runner.parallel.job_spec import JobSpec, job_spec
from bench.runner.parallel.scheduler import WorkerError, WorkerLost, WorkerPool
from bench.runner.parallel.work_units import WorkUnit
from bench.runner.plan import Run
from bench.utils.errors import BenchError, Notice
from bench.utils.names import require_no_secret
from bench.utils.threads import cores
from bench.utils.whole_numbers import whole_number

_ANSWER_SECONDS = 5.0
"""How long an address may take to accept a connection."""
_JOIN_SECONDS = 60.0
"""How long joining a cluster that is there may take, the import of Ray included."""
_JOIN = """
import logging, sys
try:
    import ray
    ray.init(address=sys.argv[1], logging_level=logging.ERROR, log_to_driver=False)
except Exception as error:
    print(error)
    sys.exit(1)
"""
"""Joins the cluster at an address, or says why not and leaves with status 1."""
_START_SECONDS = 600.0
"""How long a cluster may take to give a worker a place and the worker to plan the run."""
_LEAVE_SECONDS = 2.0
"""How long a worker that is not needed any more may take to leave nothing behind."""
_LOOK_SECONDS = 10.0
"""How often a worker that is waited for gives occasion to ask whether there still is a cluster."""
_LOCAL = {"worker_niceness": 0, "enable_worker_prestart": False}
"""How Ray's own cluster on this machine differs from its defaults: workers at the priority of any process, where those
of niceness 15 wait for minutes beside two others at work, and no worker started before one is asked for."""


@contextmanager
def actor_pool(run: Run, address: str, jobs: int | None, command: list[str] | None) -> Iterator[WorkerPool]:
    """Yield workers on a Ray cluster, to which this process is connected inside the block.

    Parameters
    ----------
    address : str
        ``local``, ``auto`` (a cluster this machine belongs to), ``HOST:PORT`` or ``ray://HOST:PORT``.
    jobs : int or None
        Workers; None is as many as the cluster has room for.

    Raises
    ------
    BenchError
        If Ray is not installed, no cluster answers at the address, or the run cannot be sent to workers.
    """
    require_no_secret(address, "--ray", instead="write local, auto, HOST:PORT or ray://HOST:PORT")
    ray = _ray()
    local, on_gpu = address == "local", run.device.startswith("cuda")
    if ":" in run.device:
        raise BenchError(f"--ray gives each worker a GPU of its own; write --device cuda, not {run.device}")
    _connect(ray, address, jobs, gpus.visible(run.device))
    try:
        room = ray.cluster_resources()
        count = jobs or max(1, int(room.get("GPU" if on_gpu else "CPU", 1)))
        spec = job_spec(run, command, threads_each(count) if local else 1)
        differ = gpus.difference((gpus.kinds(run.device)[:count] if local else _kinds(room)) if on_gpu else ())
        if differ is not None:
            warnings.warn(Notice(differ), stacklevel=3)
        actor = ray.remote(
            num_cpus=0 if local else spec.threads,
            num_gpus=_gpus_each(count, int(room.get("GPU", 0)), local) if on_gpu else 0,
            max_restarts=0,
            runtime_env={"env_vars": _environment(spec)},
        )(RayActor)
        yield WorkerPool(count, lambda _: RayWorker(ray, actor, spec))
    finally:
        ray.shutdown()


def _gpus_each(workers: int, cards: int, local: bool) -> float:
    """Return how much of a GPU a worker asks for; Ray then shows it the one it was given, and no other.

    On a cluster that is a whole one. On this machine more workers than GPUs share them evenly, as with ``--jobs``.
    """
    return 1 / math.ceil(workers / cards) if local and workers > cards > 0 else 1


def _kinds(room: Mapping[str, float]) -> list[str]:
    """Return the kinds of a cluster's GPUs, which Ray lists among its resources."""
    mark = "accelerator_type:"
    return [name.removeprefix(mark) for name in room if name.startswith(mark)]


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise BenchError("--ray needs Ray; install it with `pip install 'retrieval-bench[ray]'`") from None
    return ray


def _connect(ray: Any, address: str, jobs: int | None, cards: int) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    if address == "local":
        try:
            ray.init(
                address="local",
                num_cpus=jobs or cores(),
                num_gpus=cards,
                include_dashboard=False,
                _system_config=_LOCAL,
                **quiet,
            )
        except Exception as error:
            raise BenchError(
                f"Ray did not start on this machine ({_line(str(error))}); leave it more of the processors and memory "
                "and try again, or take --jobs without --ray"
            ) from None
        return
    if address != "auto":
        host, _, written = address.removeprefix("ray://").rpartition(":")
        port = whole_number(written)
        if not host or port is None:
            raise BenchError(f"--ray {address!r} is no address; write local, auto, HOST:PORT or ray://HOST:PORT")
        try:
            socket.create_connection((host, port), _ANSWER_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(address, str(error)) from None
    reason = _refusal(address)
    if reason is not None:
        raise _no_cluster(address, reason)
    try:
        ray.init(address=address, **quiet)
    except Exception as error:
        raise _no_cluster(address, str(error)) from None


def _no_cluster(address: str, reason: str) -> BenchError:
    return BenchError(
        f"no Ray cluster answers at {address} ({_line(reason)}); start it with `ray start --head`, or use --ray local"
    )


def _line(reason: str) -> str:
    return " ".join(reason.split())[:200].rstrip(".")


def _refusal(address: str) -> str | None:
    """Return why no cluster can be joined at an address, or None if one can.

    It is tried in a process of its own: where something other than Ray listens, Ray tries for minutes and logs to
    standard error from threads that nothing stops.
    """
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _JOIN, address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_JOIN_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"something listens there that is no Ray cluster, or one that takes more than {_JOIN_SECONDS:.0f} s"
    if tried.returncode == 0:
        return None
    if "InvalidAuthToken" in tried.stderr:
        return "it asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as it was started with"
    return tried.stdout.strip() or f"Ray left with status {tried.returncode}"


def _environment(spec: JobSpec) -> dict[str, str]:
    """Return the environment of a worker: threads, and where packs and the cache are, as this process has them."""
    named = {key: value for key, value in os.environ.items() if key.startswith("BENCH_")}
    return named | dict.fromkeys(THREAD_VARIABLES, str(spec.threads))


class RayActor:
    """The actor: plans the run once, then performs work units."""

    def __init__(self, spec: str) -> None:
        # What a method prints would be lost between the machines' logs; standard error is kept by Ray's.
        sys.stdout = sys.stderr
        self._spec = JobSpec.from_json(spec)
        self._scratch = tempfile.TemporaryDirectory(prefix="bench-ray-")
        self._run: Run | None = None
        self._provenance = ""
        self._kept: Kept[Any] = Kept()
        self._events: Iterator[Began | Finished] = iter(())

    def ready(self) -> str | None:
        """Plan the run; return what is wrong, or None."""
        try:
            self._run = self._spec.plan(Path(self._scratch.name))
        except BenchError as error:
            return str(error)
        self._provenance = provenance_of(self._run, self._spec.command)
        return None

    def leave(self) -> None:
        """Remove what was written on this machine."""
        self._scratch.cleanup()

    def begin(self, episode: int, cells: dict[str, str]) -> None:
        """Take up a unit."""
        assert self._run is not None
        self._events = perform(self._run, WorkUnit(episode, cells), self._provenance, self._kept)

    def next(self) -> Began | Finished | str | None:
        """Return what happens next to the unit, None when it is done; a bare string is a reason to refuse it.

        Asked for one by one, since a client from outside the cluster (``ray://``) cannot have a stream of them.
        """
        try:
            return next(self._events, None)
        except BenchError as error:
            return str(error)


class RayWorker:
    """An actor as the scheduler sees it."""

    def __init__(self, ray: Any, actor: Any, spec: JobSpec) -> None:
        self._ray = ray
        self._wanted = " with a GPU" if spec.config["device"].startswith("cuda") else ""
        self._actor = actor.remote(spec.to_json())

    def ready(self) -> None:
        """Wait until the actor has a place and has planned the run."""
        answer = self._actor.ready.remote()
        until = time.monotonic() + _START_SECONDS
        while not self._ray.wait([answer], timeout=_LOOK_SECONDS)[0]:
            if not self._cluster_lives():
                raise BenchError(
                    "the Ray cluster is gone: none of its machines answers; finished cells are kept, and the same "
                    "command goes on with them on another cluster, or with --jobs in place of --ray"
                )
            if time.monotonic() > until:
                raise BenchError(
                    f"the Ray cluster gave a worker no place{self._wanted} in {_START_SECONDS:.0f} s; ask for fewer "
                    "--jobs"
                )
        refused = self._get(answer)
        if refused is not None:
            raise BenchError(refused)

    def work(self, unit: WorkUnit) -> Iterator[Began | Finished]:
        """Yield what the actor says of a unit."""
        self._get(self._actor.begin.remote(unit.episode, dict(unit.cells)))
        while (event := self._get(self._actor.next.remote())) is not None:
            if isinstance(event, str):
                raise BenchError(event)
            yield event

    def close(self) -> None:
        """Have the actor leave nothing behind, if it answers, and kill it."""
        with suppress(Exception):
            self._ray.wait([self._actor.leave.remote()], timeout=_LEAVE_SECONDS)
        with suppress(Exception):
            self._ray.kill(self._actor)

    def _cluster_lives(self) -> bool:
        try:
            return any(node["Alive"] for node in self._ray.nodes())
        except Exception:  # of many kinds, where nobody is left who could tell
            return False

    def _get(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise WorkerError(str(error)) from None
        except errors.RayError as error:
            raise WorkerLost(_line(str(error))) from None
