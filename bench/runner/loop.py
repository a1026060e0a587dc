"""The run loop: it measures the planned cells, writes each as soon as it is finished, and reuses finished ones."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from bench.core.protocols import Method
from bench.core.task import Episode
from bench.device.exactness import conscientiously
from bench.learning.state_io import to_bytes
from bench.learning.training import conducted
from bench.results.consolidated import write_joined
from bench.results.run_folder import Store, encode
from bench.runner.config import Named
from bench.runner.deal import deal_episode
from bench.runner.evaluate import Outcome, blocks_of, run_cell
from bench.runner.events import Began, Finished, Step
from bench.runner.leakage import near_duplicates
from bench.runner.oracle import Oracle
from bench.runner.parallel.work_units import Piece, pieces
from bench.runner.plan import Deal, Run
from bench.runner.provenance import collect
from bench.runner.record_rows import common, measured, predictions
from bench.runner.saved_weights import Trained
from bench.search import engine as engine_for
from bench.search.approximate.recall import Recalls
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.interrupts import stop_if_asked

_CHECKPOINTS = "training"
"""Folder of a run in which trainings that were stopped leave their checkpoints, a folder a cell."""


class WorkerPool(Protocol):
    """Workers that compute cells while this process writes what they finish."""

    @property
    def count(self) -> int:
        """How many there are."""

    def do(self, work: list[Piece], store: Store, step: Step) -> None:
        """Compute work units and write their cells."""


def execute(
    run: Run,
    *,
    arguments: list[str] | None = None,
    progress: bool = False,
    workers: Callable[[Store], AbstractContextManager[WorkerPool]] | None = None,
) -> None:
    """Run every cell that is not finished, and write each as soon as it is.

    Parameters
    ----------
    workers : callable, optional
        Opens the pool that computes the cells, of :func:`bench.runner.parallel.pools.workers`; None computes here.
    """
    store = Store(run.folder)
    with ExitStack() as stack:
        # Whoever cannot work says so before there is a folder.
        pool = stack.enter_context(workers(store)) if workers is not None else None
        new = store.open(dict(run.manifest))
        finished = store.finished()
        step = stack.enter_context(_progress(run, finished, progress))
        work = pieces([deal.cells for deal in run.deals], finished, workers=pool.count if pool else 1)
        try:
            if pool is not None:
                pool.do(work, store, step)
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
