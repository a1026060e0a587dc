"""The run loop: it measures the planned cells, writes each as soon as it is finished, and reuses finished ones."""

from __future__ import annotations

import json
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bench.cost.kept import Kept
from bench.device.exactness import attempts
from bench.learning.state_io import to_bytes
from bench.learning.training_options import TrainingOptions
from bench.results.consolidated import write_joined
from bench.results.run_folder import Files, Store, encode, in_order, read_table, together
from bench.results.schema import COLUMNS
from bench.runner.deal import deal_episode
from bench.runner.evaluate import CellResult, run_cell
from bench.runner.events import Began, CellSummary, Finished, FirstFailure, RunLog, RunSummary
from bench.runner.handover import Handover
from bench.runner.leakage import near_duplicates, query_clusters
from bench.runner.parallel.scheduler import WorkerPool
from bench.runner.parallel.work_units import WorkUnit, work_units
from bench.runner.plan import EpisodeSpec, Run
from bench.runner.provenance import collect
from bench.runner.recipes import LabelledRecipe
from bench.runner.record_rows import common, measured, predictions
from bench.runner.saved_weights import SavedWeights
from bench.runner.tuning import Budget
from bench.search import engine as engine_for
from bench.search.approximate.recall import Recalls
from bench.utils.errors import BenchError, Unsuitable, is_full_device, one_line
from bench.utils.interrupts import stop_if_requested

if TYPE_CHECKING:
    import pyarrow as pa

_CHECKPOINTS = "training"
"""Folder of a run in which trainings that were stopped leave their checkpoints, a folder a cell."""

_LONGEST = 300
"""Characters of a reason."""

Workers = Callable[[Store], AbstractContextManager[WorkerPool]]
"""Opens the pool that computes the cells of a run; see :func:`bench.runner.parallel.pools.workers`."""


def execute(
    run: Run, *, workers: Workers | None = None, arguments: list[str] | None = None, keep_records: bool = False
) -> RunSummary:
    """Run every cell that is not finished, write each as soon as it is, and return what came of it.

    A cell whose method raises is written as failed, and the others go on; the next call tries it again.

    Parameters
    ----------
    workers : callable, optional
        None computes in this process.
    arguments : list of str, optional
        The command's, for the provenance.
    keep_records : bool
        Return all records, those of earlier commands included.
    """
    store = Store(run.folder)
    with ExitStack() as stack:
        # Whoever cannot work says so before there is a folder.
        pool = stack.enter_context(workers(store)) if workers is not None else None
        new = store.open(dict(run.manifest))
        finished = store.finished()
        earlier = _earlier(store, whole=keep_records) if finished else None
        show = stack.enter_context(_progress(run, finished))
        log = RunLog(show, fail_fast=run.config.fail_fast, keep_records=keep_records)
        work = work_units(
            [spec.cells for spec in run.episodes],
            finished,
            workers=pool.count if pool else 1,
            groups=[spec.group for spec in run.episodes],
        )
        stopped = False
        try:
            if pool is not None:
                pool.do(work, store, log)
            else:
                provenance = provenance_of(run, arguments)
                kept: Kept[Any] = Kept()
                stack.callback(kept.clear)
                for unit in work:
                    for event in perform(run, unit, provenance, kept, progress=run.config.progress):
                        log.hear(event, store)
                        stop_if_requested()
        except FirstFailure:
            stopped = True
        except BenchError:
            if new:
                store.leave()
            raise
    write_joined(run.folder)
    with suppress(OSError):  # a cell that was given up or failed may have left its checkpoints
        (run.folder / _CHECKPOINTS).rmdir()
    return RunSummary(
        folder=run.folder,
        planned=run.n_cells,
        resumed=len(finished),
        skipped=(*_skipped(earlier), *(one for one in log.cells if one.status == "skipped")),
        failed=tuple(one for one in log.cells if one.status == "failed"),
        stopped=stopped,
        records=in_order(together(run.folder, earlier, _contents(store, log))) if keep_records else None,
    )


def _earlier(store: Store, *, whole: bool) -> pa.Table | None:
    """Return the records of the cells that need not run again, all columns or those that tell of skipped ones."""
    import pyarrow.compute as pc

    wanted = ("schema", "status", "cell", "method", "dataset", "seed", "reason")
    table = read_table(store.folder, without=() if whole else set(COLUMNS) - set(wanted))
    return None if table is None else table.filter(pc.not_equal(table["status"], "failed"))


def _skipped(earlier: pa.Table | None) -> Iterator[CellSummary]:
    """Yield the cells that an earlier command skipped."""
    if earlier is None:
        return
    columns = ["cell", "status", "method", "dataset", "seed", "reason"]
    for row in earlier.select(columns).to_pylist() if len(earlier) else ():
        if row["status"] == "skipped":
            yield CellSummary(**row)


def _contents(store: Store, log: RunLog) -> Sequence[bytes]:
    """Return the records of the cells that ended now; from disk those that a worker wrote there."""
    return [log.records.get(one.cell) or store.get(one.cell).record for one in log.cells]


def provenance_of(run: Run, arguments: list[str] | None) -> str:
    """Return where this process's results come from, as JSON."""
    return json.dumps(collect(run.device, arguments), sort_keys=True)


def perform(
    run: Run, unit: WorkUnit, provenance: str, kept: Kept[Any], *, progress: bool = False
) -> Iterator[Began | Finished]:
    """Run the cells of a work unit one after the other on one episode and one retrieval.

    Parameters
    ----------
    kept : Kept
        What this process keeps of the cells of this run for those that follow.
    progress : bool
        Show the epochs of trainings on a terminal.
    """
    spec = run.episodes[unit.episode]
    kept.begin(spec.group, several=spec.group in run.repeating)
    dealt = _Dealt.of(run, spec, kept)
    for named in run.methods:
        cell = unit.cells.get(named.label)
        if cell is None:
            continue
        yield Began(cell, f"{named.label} · {spec.dataset.name} · seed {spec.seed}")
        base = common(run, spec, named, cell, provenance)
        checkpoints = run.folder / _CHECKPOINTS / cell
        options = TrainingOptions(progress=progress, checkpoints=checkpoints, precision=run.config.precision)
        trained = run.trained.get((named.label, spec.seed))
        try:
            for attempt in attempts(run.device):
                tried = []
                with attempt, engine_for(run.engine), kept.for_a_cell():
                    for number, method in enumerate(named.candidates):
                        # Trainings of two candidates may begin alike; none goes on where the other was.
                        own = replace(options, checkpoints=checkpoints / str(number))
                        result = run_cell(
                            method,
                            dealt.handover,
                            label=named.label,
                            trained=trained,
                            options=own,
                            timed=run.config.latency,
                            budget=Budget(run.config.tune, spec.select_on),
                            calibrate=run.config.calibrate,
                        )
                        tried.append(result)
                base["deterministic"] = attempt.strict
            files = _measured(run, dealt, base, named.best(tried))
        except Unsuitable as reason:
            base |= {"status": "skipped", "reason": str(reason)}
            files = encode([base], None)
        except Exception as error:
            # A library may turn an interrupt into an error of its own.
            stop_if_requested()
            full = is_full_device(error)
            why = _full(named, str(error)) if full else one_line(error, longest=_LONGEST)
            base |= {"status": "failed", "reason": why}
            base |= {"error_type": type(error).__name__, "traceback": traceback.format_exc()}
            files = replace(encode([base], None), failed=True)
        else:
            shutil.rmtree(checkpoints, ignore_errors=True)
        summary = {field.name: base[field.name] for field in fields(CellSummary) if field.name in base}
        yield Finished(cell, files, CellSummary(**summary))


@dataclass(frozen=True, eq=False)
class _Dealt:
    """An episode, and what its cells share: what methods are handed, near-duplicates, recalls of searches."""

    spec: EpisodeSpec
    handover: Handover
    leaks: list[Tensor]
    recalls: Recalls
    clusters: Mapping[str, str]

    @staticmethod
    def of(run: Run, spec: EpisodeSpec, kept: Kept[Any]) -> _Dealt:
        """Deal an episode."""
        episode = deal_episode(spec).to(run.device)
        with engine_for(run.engine):
            leaks = near_duplicates(episode, threshold=spec.dataset.card.near)
        clusters = query_clusters(spec.dataset, run.device)
        return _Dealt(spec, Handover(episode, spec.seed, kept=kept), leaks, Recalls(run.engine), clusters)


def _measured(run: Run, dealt: _Dealt, base: Mapping[str, Any], result: CellResult) -> Files:
    """Return the files of a cell from what its method did and the searches it requested."""
    rows = [
        {
            **base,
            **measured(outcome, leak, dealt.spec.instead),
            **dealt.recalls.row(number, outcome.session.queries.x, blocks.parts, outcome.searches),
        }
        for number, (outcome, leak, blocks) in enumerate(
            zip(result.outcomes, dealt.leaks, dealt.handover.blocks, strict=True)
        )
    ]
    cell = str(base["cell"])
    files = encode(rows, predictions(cell, result.outcomes, dealt.leaks, dealt.clusters))
    if not run.config.save_states or result.trained is None:
        return files
    spec = dealt.spec
    source = spec.source or spec.dataset
    origin = f"{run.name}/{cell}: {source.name}, seed {spec.seed}"
    weights = SavedWeights.of(result.trained, dealt.handover.episode, source, spec.seed, origin)
    return replace(files, trained=to_bytes(weights))


def _full(named: LabelledRecipe, said: str) -> str:
    """Return what to do where a method does not fit on a GPU, of which torch said so."""
    found = re.search(r"total capacity of ([\d.]+ \w+)", said)
    size = f" (it has {found[1]})" if found else ""
    smaller = f"a smaller {named.recipe.name}.batch (--set), " if "batch" in named.params else ""
    return f"the GPU is full{size}; use {smaller}fewer --jobs, a larger GPU (--device cuda:N), or --device cpu"


@contextmanager
def _progress(run: Run, finished: set[str]) -> Iterator[Callable[[str, int], None]]:
    """Yield ``show(text, count)``, which moves a progress bar with the time left on a terminal."""
    from tqdm import tqdm

    # A notebook is no terminal, and shows the bar nevertheless; it is gone when the run is over.
    notebook = False
    if "IPython" in sys.modules:
        from rich import get_console

        notebook = get_console().is_jupyter
    planned = {cell for spec in run.episodes for cell in spec.cells.values()}
    with tqdm(
        total=run.n_cells,
        initial=len(finished & planned),
        unit="cell",
        disable=(False if notebook else None) if run.config.progress else True,
        leave=not notebook,
        dynamic_ncols=True,
    ) as bar:

        def show(text: str, count: int) -> None:
            if text:
                bar.set_postfix_str(text)
            bar.update(count)

        yield show
