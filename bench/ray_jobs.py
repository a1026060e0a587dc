"""``bench run --ray``: the same work on the processors of a Ray cluster.

Each worker is an actor that plans the run from its order, as a local process does, and sends back the files of each
finished cell; only the process that started the run writes. The machines need no shared run folder, but the same
installation and the same packs under the same names or paths.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.jobs import THREAD_VARIABLES, Step, WorkerError, WorkerLost, cores, distribute, threads_each
from bench.orders import Order, order
from bench.pieces import Piece, pieces
from bench.planning import Run
from bench.runner import Began, Finished, perform, provenance_of
from bench.store import Store

_ANSWER_SECONDS = 5.0
"""How long an address may take to accept a connection."""
_START_SECONDS = 600.0
"""How long a cluster may take to give a worker a place and the worker to plan the run."""


def execute(
    run: Run, store: Store, finished: set[str], address: str, jobs: int | None, command: list[str] | None, step: Step
) -> None:
    """Run what is left of a run on a Ray cluster.

    Parameters
    ----------
    address : str
        ``local``, ``auto`` (a cluster this machine belongs to), ``HOST:PORT`` or ``ray://HOST:PORT``.
    jobs : int or None
        Workers; None is as many as the cluster has room for.

    Raises
    ------
    BenchError
        If Ray is not installed, or nothing answers at the address.
    """
    ray = _ray()
    local = address == "local"
    _connect(ray, address, jobs)
    try:
        gpus = 1 if run.device.startswith("cuda") else 0
        room = ray.cluster_resources()
        most = max(1, int(room.get("GPU" if gpus else "CPU", 1)))
        count = jobs or most
        told = order(run, command, threads_each(count) if local else 1)
        work = pieces([deal.cells for deal in run.deals], finished, count)
        actor = ray.remote(
            num_cpus=0 if local else told.threads,
            num_gpus=0 if local else gpus,
            max_restarts=0,
            runtime_env={"env_vars": _environment(told)},
        )(Performer)
        distribute(work, min(count, len(work)), lambda _: RayWorker(ray, actor, told), store, step)
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise BenchError("--ray needs Ray; install it with `pip install 'retrieval-bench[ray]'`") from None
    return ray


def _connect(ray: Any, address: str, jobs: int | None) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    if address == "local":
        ray.init(address="local", num_cpus=jobs or cores(), include_dashboard=False, **quiet)
        return
    advice = "start it with `ray start --head`, or use --ray local"
    if address != "auto":
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if not host or not port.isdecimal():
            raise BenchError(f"--ray {address!r} is no address; write local, auto, HOST:PORT or ray://HOST:PORT")
        try:
            socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise BenchError(f"no Ray cluster answers at {address} ({error}); {advice}") from None
    try:
        ray.init(address=address, **quiet)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise BenchError(f"no Ray cluster answers at {address} ({reason}); {advice}") from None


def _environment(told: Order) -> dict[str, str]:
    """Return the environment of a worker: threads, and where packs and the cache are, as this process has them."""
    named = {key: value for key, value in os.environ.items() if key.startswith("BENCH_")}
    return named | dict.fromkeys(THREAD_VARIABLES, str(told.threads))


class Performer:
    """The actor: plans the run once, then performs pieces."""

    def __init__(self, told: str) -> None:
        # What a method prints would be lost between the machines' logs; standard error is kept by Ray's.
        sys.stdout = sys.stderr
        self._told = Order.from_json(told)
        self._scratch = tempfile.TemporaryDirectory(prefix="bench-ray-")
        self._run: Run | None = None
        self._provenance = ""

    def ready(self) -> str | None:
        """Plan the run; return what is wrong, or None."""
        try:
            self._run = self._told.plan(Path(self._scratch.name))
        except BenchError as error:
            return str(error)
        self._provenance = provenance_of(self._run, self._told.command)
        return None

    def work(self, deal: int, cells: dict[str, str]) -> Iterator[Began | Finished | str]:
        """Yield what happens to a piece; a bare string is a reason to refuse it."""
        assert self._run is not None
        try:
            yield from perform(self._run, Piece(deal, cells), self._provenance)
        except BenchError as error:
            yield str(error)


class RayWorker:
    """An actor as the scheduler sees it."""

    def __init__(self, ray: Any, actor: Any, told: Order) -> None:
        self._ray = ray
        self._actor = actor.remote(told.to_json())

    def ready(self) -> None:
        """Wait until the actor has a place and has planned the run."""
        refused = self._get(self._actor.ready.remote(), timeout=_START_SECONDS)
        if refused is not None:
            raise BenchError(refused)

    def work(self, piece: Piece) -> Iterator[Began | Finished]:
        """Yield what the actor says of a piece."""
        events = iter(self._actor.work.options(num_returns="streaming").remote(piece.deal, dict(piece.cells)))
        while (event := self._next(events)) is not None:
            if isinstance(event, str):
                raise BenchError(event)
            yield event

    def close(self) -> None:
        """Kill the actor."""
        with suppress(Exception):
            self._ray.kill(self._actor)

    def _next(self, events: Iterator[Any]) -> Any:
        try:
            reference = next(events)
        except StopIteration:
            return None
        return self._get(reference)

    def _get(self, reference: Any, timeout: float | None = None) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference, timeout=timeout)
        except errors.GetTimeoutError:
            raise BenchError(
                f"the Ray cluster gave a worker no place in {_START_SECONDS:.0f} s; ask for fewer --jobs"
            ) from None
        except errors.RayTaskError as error:
            raise WorkerError(str(error)) from None
        except errors.RayError as error:
            raise WorkerLost(" ".join(str(error).split())[:200]) from None
