"""The run loop: it measures the planned cells, writes each as soon as it is finished, and reuses finished ones."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.core.protocols import Method, Scenario
from bench.core.task import Dataset, Episode
from bench.device.exactness import conscientiously
from bench.learning.state_io import to_bytes
from bench.learning.training import conducted
from bench.results.consolidated import write_joined
from bench.results.run_folder import Files, Store, encode, read_records
from bench.runner.config import DEFAULT_DATA, DEFAULT_METHODS, DEFAULT_SCENARIO, DEFAULT_SEEDS, Named
from bench.runner.evaluate import Outcome, blocks_of, run_cell
from bench.runner.leakage import near_duplicates
from bench.runner.oracle import Oracle
from bench.runner.parallel.work_units import Piece, pieces
from bench.runner.plan import Deal, Run, deal_episode, prepare
from bench.runner.provenance import collect
from bench.runner.record_rows import common, measured, predictions
from bench.runner.saved_weights import Trained
from bench.search import engine as engine_for
from bench.search.approximate.recall import Recalls
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.interrupts import stop_if_asked

if TYPE_CHECKING:
    import pandas as pd

    from bench.runner.parallel.interpreters import Interpreter
    from bench.runner.parallel.scheduler import Crew, Step

__all__ = ["Began", "Finished", "execute", "perform", "prepare", "provenance_of", "run"]

_CHECKPOINTS = "training"
"""Folder of a run in which trainings that were stopped leave their checkpoints, a folder a cell."""


def execute(
    run: Run,
    *,
    arguments: list[str] | None = None,
    progress: bool = False,
    jobs: int | None = None,
    ray: str | None = None,
    ready: deque[Interpreter] | None = None,
) -> None:
    """Run every cell that is not finished, and write each as soon as it is.

    Parameters
    ----------
    jobs : int, optional
        Worker processes; 1 computes in this one. None is 1, and with ``ray`` as many as there is room for.
    ray : str, optional
        ``local`` or the address of a Ray cluster whose processors do the work.
    ready : deque of Interpreter, optional
        Interpreters that wait to be workers of this machine; see :func:`bench.runner.parallel.interpreters.waiting`.
    """
    if jobs is not None and jobs < 1:
        raise BenchError(f"--jobs {jobs} leaves nobody to work; write 1 or more")
    store = Store(run.folder)
    with ExitStack() as stack:
        # Whoever cannot work says so before there is a folder.
        crew: Crew | None = None
        if ray is not None:
            from bench.runner.parallel import ray_pool

            crew = stack.enter_context(ray_pool.crew(run, ray, jobs, arguments))
        elif jobs is not None and jobs > 1:
            from bench.runner.parallel import scheduler as processes

            crew = processes.crew(run, store, jobs, arguments, ready if ready is not None else deque())
        new = store.open(dict(run.manifest))
        finished = store.finished()
        step = stack.enter_context(_progress(run, finished, progress))
        work = pieces([deal.cells for deal in run.deals], finished, workers=crew.count if crew else 1)
        try:
            if crew is not None:
                crew.do(work, store, step)
            else:
                _do_here(run, work, store, provenance_of(run, arguments), step, progress=progress)
        except BenchError:
            if new:
                store.leave()
            raise
    write_joined(run.folder)
    with suppress(OSError):  # a cell that was given up may have left its checkpoints
        (run.folder / _CHECKPOINTS).rmdir()


def _do_here(run: Run, work: list[Piece], store: Store, provenance: str, step: Step, *, progress: bool) -> None:
    """Run pieces in this process."""
    try:
        for piece in work:
            with conducted(progress=progress):
                for event in perform(run, piece, provenance):
                    if isinstance(event, Finished):
                        store.put(event.cell, event.files)
                        step("", 1)
                        stop_if_asked()
                    else:
                        step(event.what, 0)
    except torch.OutOfMemoryError as full:
        raise BenchError(str(full)) from None


def provenance_of(run: Run, arguments: list[str] | None) -> str:
    """Return where this process's results come from, as JSON."""
    return json.dumps(collect(run.device, arguments), sort_keys=True)


@dataclass(frozen=True)
class Began:
    """A cell has begun."""

    cell: str
    what: str


@dataclass(frozen=True)
class Finished:
    """A cell is finished."""

    cell: str
    files: Files


def perform(run: Run, piece: Piece, provenance: str) -> Iterator[Began | Finished]:
    """Run the cells of a piece one after the other on one episode and one retrieval.

    Raises
    ------
    torch.OutOfMemoryError
        If a method does not fit on a GPU; its message says what to do.
    """
    deal = run.deals[piece.deal]
    episode = deal_episode(deal).to(run.device)
    blocks = blocks_of(episode)
    recalls = Recalls(run.engine)
    with engine_for(run.engine):
        leaks = near_duplicates(episode, blocks, threshold=deal.dataset.card.near)
    for named in run.methods:
        cell = piece.cells.get(named.label)
        if cell is None:
            continue
        yield Began(cell, f"{named.label} · {deal.dataset.name} · seed {deal.seed}")
        base = common(run, deal, named, cell, provenance)
        try:
            with engine_for(run.engine):
                live = partial(_live, run, deal, named, cell, episode, blocks)
                (outcomes, trained), repeatable = conscientiously(run.device, live)
        except Unsuitable as reason:
            files = encode([base | {"status": "skipped", "reason": str(reason)}], None)
        except torch.OutOfMemoryError as error:
            raise torch.OutOfMemoryError(_full(named, deal, error)) from None
        else:
            base["deterministic"] = repeatable
            rows = [
                base
                | measured(outcome, leak)
                | recalls.row(number, outcome.session.queries.x, blocks[number], outcome.asked)
                for number, (outcome, leak) in enumerate(zip(outcomes, leaks, strict=True))
            ]
            files = replace(encode(rows, predictions(cell, outcomes, leaks)), trained=trained)
        yield Finished(cell, files)


def _live(
    run: Run,
    deal: Deal,
    named: Named,
    cell: str,
    episode: Episode,
    blocks: list[tuple[Tensor, ...]],
) -> tuple[list[Outcome], bytes | None]:
    """Return what a method does in an episode, and the weights it trained, where they are kept."""
    kept: list[bytes] = []

    def keep(method: Method) -> None:
        origin = f"{run.name}/{cell}: {(deal.source or deal.dataset).name}, seed {deal.seed}"
        kept.append(to_bytes(Trained.of(method, episode, deal.source or deal.dataset, deal.seed, origin)))

    def once(method: Method, on_trained: Callable[[Method], None] | None = None) -> list[Outcome]:
        trained = run.trained.get((named.label, deal.seed))
        return run_cell(
            method, episode, blocks, seed=deal.seed, label=named.label, trained=trained, on_trained=on_trained
        )

    folder = run.folder / _CHECKPOINTS / cell
    with conducted(checkpoints=folder, precision=run.precision):
        if isinstance(named.recipe, Oracle):
            outcomes = named.recipe.best(once)
        else:
            outcomes = once(named.recipe, keep if run.save_states else None)
    shutil.rmtree(folder, ignore_errors=True)
    return outcomes, kept[0] if kept else None


def _full(named: Named, deal: Deal, error: torch.OutOfMemoryError) -> str:
    """Return what to do where a method does not fit on a card."""
    found = re.search(r"total capacity of ([\d.]+ \w+)", str(error))
    size = f" (it has {found[1]})" if found else ""
    smaller = f"a smaller {named.recipe.name}.batch (--set), " if "batch" in named.params else ""
    return (
        f"{named.label} on {deal.dataset.name}: the GPU is full{size}; use {smaller}"
        "a larger card (--device cuda:N), --device cpu, or leave the method out. All finished cells are kept"
    )


@contextmanager
def _progress(run: Run, finished: set[str], wanted: bool) -> Iterator[Step]:
    """Yield ``step(text, count)``, which moves a progress bar with the time left on a terminal."""
    from tqdm import tqdm

    planned = {cell for deal in run.deals for cell in deal.cells.values()}
    with tqdm(
        total=run.n_cells,
        initial=len(finished & planned),
        unit="cell",
        disable=None if wanted else True,
        dynamic_ncols=True,
    ) as bar:

        def step(text: str, count: int) -> None:
            if text:
                bar.set_postfix_str(text)
            bar.update(count)

        yield step


def run(
    scenario: str | Scenario | Sequence[str | Scenario] = DEFAULT_SCENARIO,
    methods: str | Sequence[str | Method | type] = DEFAULT_METHODS,
    data: str | Path | Dataset | Sequence[str | Path | Dataset] = DEFAULT_DATA,
    seeds: int | str | Sequence[int] = DEFAULT_SEEDS,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - the name of the command line's option
    out: str | Path | None = None,
    device: str = "auto",
    progress: bool = False,
    jobs: int = 1,
    search: str = "exact",
    precision: str = "fp32",
) -> pd.DataFrame:
    """Run a comparison and return its records, one row a method x scenario x data set x condition x session x seed.

    Parameters
    ----------
    scenario, methods, data
        Names, paths, or your own objects: a scenario, a method (instance or class), a :class:`bench.core.task.Dataset`.
    seeds : int or list
        A count (0 to n - 1) or the seeds themselves.
    set : mapping, optional
        Parameters by name, e.g. ``{"knn.k": 16}``; a list of values is a sweep.
    out : path, optional
        Where runs are kept and continued; None keeps nothing on disk.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    jobs : int
        Worker processes. More than one need methods, scenarios and data sets by name, not as objects.
    search : str
        The engine that answers every search: ``exact``, ``hnsw``, ``ivfpq``, ``sq8`` or ``milvus:ADDRESS``.
    precision : str
        What trainings compute their loss in: ``fp32`` or ``bf16``.

    Returns
    -------
    pandas.DataFrame
        The columns of :data:`bench.results.schema.COLUMNS`.

    Examples
    --------
    >>> frame = bench.run("incremental", ["knn", "protonet"], "digits", seeds=2)  # doctest: +SKIP
    """
    names: Sequence[str | Method | type] = methods.split(",") if isinstance(methods, str) else methods
    sets = [data] if isinstance(data, (str, Path, Dataset)) else list(data)
    with tempfile.TemporaryDirectory() as scratch:
        planned = prepare(
            scenario=scenario,
            methods=names,
            data=sets,
            seeds=seeds,
            assignments=set,
            out=Path(out) if out is not None else Path(scratch),
            device=device,
            search=search,
            precision=precision,
        )
        execute(planned, arguments=["bench.run"], progress=progress, jobs=jobs)
        return read_records(planned.folder)
