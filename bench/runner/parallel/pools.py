"""Which workers compute a run: processes of this machine, actors of a Ray cluster, or none."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from bench.results.run_folder import Store
from bench.runner.parallel import ray_pool, scheduler
from bench.runner.parallel.interpreters import Interpreter
from bench.runner.parallel.scheduler import WorkerPool
from bench.runner.plan import Run
from bench.utils.errors import BenchError


def workers(
    run: Run, *, arguments: list[str] | None = None, ready: deque[Interpreter] | None = None
) -> Callable[[Store], AbstractContextManager[WorkerPool]] | None:
    """Return what opens the pool of workers that a run asks for; None if this process computes it.

    Parameters
    ----------
    arguments : list of str, optional
        The command's, for the provenance.
    ready : deque of Interpreter, optional
        Interpreters that wait to be workers of this machine; see :func:`bench.runner.parallel.interpreters.waiting`.
    """
    jobs, ray = run.config.jobs, run.config.ray
    if jobs is not None and jobs < 1:
        raise BenchError(f"--jobs {jobs} leaves nobody to work; write 1 or more")
    if ray is not None:
        return lambda store: ray_pool.actor_pool(run, ray, jobs, arguments)
    if jobs is not None and jobs > 1:
        waiting = ready if ready is not None else deque()
        return lambda store: nullcontext(scheduler.process_pool(run, store, jobs, arguments, waiting))
    return None
