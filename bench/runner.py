"""The run loop: plans the cells, measures them, writes each finished one at once, goes on where it stopped."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.contracts import Method, Scenario
from bench.encoder_flops import encoder_flops
from bench.errors import BenchError, Unsuitable
from bench.evaluate import Outcome, query_blocks, run_cell
from bench.hashing import digest
from bench.indexes.recall import Recalls
from bench.leakage import near_duplicates
from bench.oracle import Oracle, oracles
from bench.params import defaults
from bench.pieces import Piece, Shard, pieces
from bench.provenance import collect, core_fingerprint
from bench.records import read_records
from bench.search import Engine, Exact
from bench.search import engine as engine_for
from bench.search.asked import listening
from bench.settings import DEFAULT_DATA, DEFAULT_METHODS, DEFAULT_SCENARIO, DEFAULT_SEEDS, Named, parse_seeds, plan
from bench.state import to_bytes
from bench.store import Files, Store, encode
from bench.streams import Stream
from bench.task import Dataset, Episode
from bench.trained import Trained, load_trained
from bench.training import conducted
from bench.version import SCHEMA

if TYPE_CHECKING:
    import pandas as pd

_CHECKPOINTS = "training"
"""Folder of a run in which trainings that were stopped leave their checkpoints, a folder a cell."""


@dataclass(frozen=True, eq=False)
class Deal:
    """One episode to be dealt, with the cells (one a method) that are run on it."""

    scenario: Named
    dataset: Dataset
    source: Dataset | None
    condition: Mapping[str, Any]
    seed: int
    cells: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Run:
    """A planned run: its identity, its folder, its methods, and the episodes to deal."""

    name: str
    folder: Path
    methods: tuple[Named, ...]
    deals: tuple[Deal, ...]
    device: str
    manifest: Mapping[str, Any]
    arguments: Mapping[str, Any]
    """What :func:`prepare` was called with: another process plans the same run from it."""
    trained: Mapping[tuple[str, int], Trained] = field(default_factory=dict)
    """Loaded weights by method label and seed."""
    save_states: bool = False
    engine: Engine = field(default_factory=Exact)
    """What answers every search."""

    @property
    def n_cells(self) -> int:
        """Number of cells, finished or not."""
        return sum(len(deal.cells) for deal in self.deals)

    def shard(self, shard: Shard) -> Run:
        """Return one part of the run, in a folder of its own beside the run's."""
        parts = shard.of([deal.cells for deal in self.deals])
        deals = [replace(deal, cells=cells) for deal, cells in zip(self.deals, parts, strict=True)]
        folder = self.folder.with_name(f"{self.folder.name}-{shard.number}of{shard.count}")
        manifest = {**self.manifest, "cells": sum(len(deal.cells) for deal in deals)}
        manifest |= {"shard": str(shard), "cells_of_all_shards": self.n_cells}
        return replace(self, folder=folder, deals=tuple(deals), manifest=manifest)


def choose_device(wanted: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise BenchError(f"unknown device {wanted!r}; known: auto, cpu, cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise BenchError("--device cuda, but torch sees no CUDA device; use --device auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def prepare(
    *,
    scenario: str | Scenario | Sequence[str | Scenario] = DEFAULT_SCENARIO,
    methods: Sequence[str | Method | type] = DEFAULT_METHODS,
    data: Sequence[str | Path | Dataset] = DEFAULT_DATA,
    seeds: int | str | Sequence[int] = DEFAULT_SEEDS,
    assignments: Mapping[str, Any] | None = None,
    out: Path,
    device: str = "auto",
    experiment: str | None = None,
    load: Path | None = None,
    save_states: bool = False,
    oracle: Sequence[str] = (),
    search: str = "exact",
) -> Run:
    """Return the planned run; nothing is written yet.

    A run's identity is a hash of everything that shapes its records: recipes, parameters, data, seeds, device, code,
    loaded weights.

    Parameters
    ----------
    load : Path, optional
        A run that kept trained weights, which are used in the place of training; see :mod:`bench.trained`.
    save_states : bool
        Keep the weights that methods train on seen classes.
    oracle : sequence of str
        ``knn.k=1,4,16`` adds a method whose parameter is chosen on the queries; see :mod:`bench.oracle`.
    search : str
        The engine that answers every search, such as ``hnsw:m=32:ef=128``; see :mod:`bench.indexes`.
    """
    from bench.datasets import resolve
    from bench.indexes.names import named_engine

    arguments = {
        "scenario": scenario,
        "methods": methods,
        "data": data,
        "seeds": seeds,
        "assignments": assignments,
        "device": device,
        "experiment": experiment,
        "load": load,
        "save_states": save_states,
        "oracle": oracle,
        "search": search,
    }
    wanted = plan(scenario, methods, parse_seeds(seeds), assignments or {})
    chosen_device = choose_device(device)
    datasets = [resolve(name) for name in data]
    if len({dataset.name for dataset in datasets}) < len(datasets):
        raise BenchError("two of the data sets have the same name; rename one in its pack.yaml")
    for dataset in datasets:
        dataset.check()
    code = core_fingerprint()
    methods_and_oracles = (*wanted.methods, *oracles(wanted.methods, oracle))
    trained = load_trained(load, methods_and_oracles, wanted.seeds, datasets) if load else {}
    written = {id(n): n.code for n in (*wanted.scenarios, *methods_and_oracles)}
    shared = {"schema": SCHEMA, "code": code, "device": chosen_device, "experiment": experiment}
    shared |= {"save_states": True} if save_states else {}
    # Exact engines give the same answers, so which of them searches is no part of the run's identity.
    engine = named_engine(search)
    shared |= {} if isinstance(engine, Exact) else {"search": engine.name}
    deals = []
    for named in wanted.scenarios:
        train_on = getattr(named.recipe, "train_on", None)
        source = resolve(train_on) if train_on else None
        if source is not None:
            source.check()
        for dataset in datasets:
            _same_space(dataset, source)
            for condition in named.recipe.conditions(dataset):
                for seed in wanted.seeds:
                    what = {
                        **shared,
                        "scenario": named.identity,
                        "scenario_code": written[id(named)],
                        "dataset": dataset.fingerprint,
                        "near": dataset.card.near,
                        "dataset_name": dataset.name,
                        "source": source.fingerprint if source else None,
                        "condition": condition,
                        "seed": seed,
                    }
                    cells = {
                        m.label: digest(
                            {**what, "method": m.identity, "method_code": written[id(m)]},
                            *([trained[m.label, seed].fingerprint] if (m.label, seed) in trained else []),
                        )[:20]
                        for m in methods_and_oracles
                    }
                    deals.append(Deal(named, dataset, source, condition, seed, cells))
    run = digest(sorted(cell for deal in deals for cell in deal.cells.values()))[:16]
    names = "+".join(sorted({named.recipe.name for named in wanted.scenarios}))
    manifest = {
        "run": run,
        "cells": sum(len(deal.cells) for deal in deals),
        "scenarios": [n.identity for n in wanted.scenarios],
        "methods": [n.identity for n in methods_and_oracles],
        "loaded": sorted({t.origin for t in trained.values()}),
        "experiment": experiment,
        "datasets": [vars(dataset.card) for dataset in datasets],
        "class_names": {dataset.name: list(dataset.class_names) for dataset in datasets},
        "seeds": list(wanted.seeds),
        "device": chosen_device,
        "search": "exact" if isinstance(engine, Exact) else engine.name,
        "code": code,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    folder = out / f"{names}-{run[:10]}"
    return Run(
        run, folder, methods_and_oracles, tuple(deals), chosen_device, manifest, arguments, trained, save_states, engine
    )


def _same_space(dataset: Dataset, source: Dataset | None) -> None:
    if source is None:
        return
    if source.dimension != dataset.dimension:
        raise BenchError(
            f"data sets {source.name} (d = {source.dimension}) and {dataset.name} (d = {dataset.dimension}) are not in "
            "one space; encode both with the same encoder"
        )
    if source.card.space and dataset.card.space and source.card.space != dataset.card.space:
        raise BenchError(
            f"data sets {source.name} and {dataset.name} come from different encoders ({source.card.space} and "
            f"{dataset.card.space}); encode both with the same one"
        )


def execute(
    run: Run,
    *,
    arguments: list[str] | None = None,
    progress: bool = False,
    jobs: int | None = None,
    ray: str | None = None,
) -> None:
    """Run every cell that is not finished, and write each as soon as it is.

    Parameters
    ----------
    jobs : int, optional
        Worker processes; 1 computes in this one. None is 1, and with ``ray`` as many as there is room for.
    ray : str, optional
        ``local`` or the address of a Ray cluster whose processors do the work.
    """
    if jobs is not None and jobs < 1:
        raise BenchError(f"--jobs {jobs} leaves nobody to work; write 1 or more")
    store = Store(run.folder)
    store.open(dict(run.manifest))
    finished = store.finished()
    with _progress(run, finished, progress) as step:
        if ray is not None:
            from bench import ray_jobs

            ray_jobs.execute(run, store, finished, ray, jobs, arguments, step)
        elif jobs is not None and jobs > 1:
            from bench import jobs as processes

            processes.execute(run, store, finished, jobs, arguments, step)
        else:
            provenance = provenance_of(run, arguments)
            for piece in pieces([deal.cells for deal in run.deals], finished, workers=1):
                with conducted(progress=progress):
                    for event in perform(run, piece, provenance):
                        if isinstance(event, Finished):
                            store.put(event.cell, event.files)
                            step("", 1)
                        else:
                            step(event.what, 0)
    with suppress(OSError):  # a cell that was given up may have left its checkpoints
        (run.folder / _CHECKPOINTS).rmdir()


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
    """Run the cells of a piece one after the other on one episode and one retrieval."""
    deal = run.deals[piece.deal]
    episode = deal_episode(deal).to(run.device)
    blocks = [query_blocks(session) for session in episode.sessions]
    recalls = Recalls(run.engine)
    with engine_for(run.engine):
        leaks = near_duplicates(episode, blocks, threshold=deal.dataset.card.near)
    for named in run.methods:
        cell = piece.cells.get(named.label)
        if cell is None:
            continue
        yield Began(cell, f"{named.label} · {deal.dataset.name} · seed {deal.seed}")
        base = _common(run, deal, named, cell, provenance)
        try:
            with _deterministic(run.device), engine_for(run.engine), listening() as asked:
                outcomes, trained = _live(run, deal, named, cell, episode, blocks)
        except Unsuitable as reason:
            files = encode([base | {"status": "skipped", "reason": str(reason)}], None)
        else:
            rows = [
                base | _row(outcome, leak) | recalls.row(number, outcome.session.queries.x, blocks[number], asked)
                for number, (outcome, leak) in enumerate(zip(outcomes, leaks, strict=True))
            ]
            files = replace(encode(rows, _predictions(cell, outcomes, leaks)), trained=trained)
        yield Finished(cell, files)


def _live(
    run: Run, deal: Deal, named: Named, cell: str, episode: Episode, blocks: list[tuple[Tensor, ...]]
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
    with conducted(checkpoints=folder):
        if isinstance(named.recipe, Oracle):
            outcomes = named.recipe.best(once)
        else:
            outcomes = once(named.recipe, keep if run.save_states else None)
    shutil.rmtree(folder, ignore_errors=True)
    return outcomes, kept[0] if kept else None


def deal_episode(deal: Deal) -> Episode:
    """Return what a scenario deals, the same whatever the methods; each session has queries."""
    # The method plays no part in the stream: all methods meet the same class orders, shots and memories.
    rng = Stream(deal.seed).child("scenario", deal.scenario.recipe.name, deal.dataset.name)
    episode: Episode = deal.scenario.recipe.deal(deal.dataset, deal.condition, rng=rng, source=deal.source)
    for session in episode.sessions:
        if not len(session.queries):
            raise BenchError(
                f"data set {deal.dataset.name}: session {session.task.session} has no queries; give its role 'query' "
                "a split that holds its classes"
            )
    return episode


def _common(run: Run, deal: Deal, named: Named, cell: str, provenance: str) -> dict[str, Any]:
    recipe = named.recipe
    return {
        "schema": SCHEMA,
        "run": run.name,
        "cell": cell,
        "status": "ok",
        "method": named.label,
        "method_name": recipe.name,
        "method_params": json.dumps(named.params, sort_keys=True, default=str),
        "fidelity": recipe.about.fidelity,
        "selection": recipe.about.selection,
        "experiment": run.manifest["experiment"],
        "scenario": deal.scenario.label,
        "scenario_params": json.dumps(defaults(deal.scenario.recipe), sort_keys=True, default=str),
        "dataset": deal.dataset.name,
        "encoder": deal.dataset.card.encoder,
        "encoder_flops": encoder_flops(deal.dataset.card.encoder),
        "condition": json.dumps(dict(deal.condition), sort_keys=True, default=str),
        "seed": deal.seed,
        "features_fingerprint": deal.dataset.fingerprint,
        "provenance": provenance,
    }


def _row(outcome: Outcome, leak: Tensor) -> dict[str, Any]:
    task, queries = outcome.session.task, outcome.session.queries
    labels = queries.labels.cpu()
    width = max(task.classes) + 1
    total = torch.bincount(labels, minlength=width)
    right = torch.bincount(labels[outcome.predictions == labels], minlength=width)
    order = torch.tensor(task.classes)
    return {
        "session": task.session,
        "classes": list(task.classes),
        "class_total": total[order].tolist(),
        "class_correct": right[order].tolist(),
        "n_queries": len(queries),
        "n_correct": int(right.sum()),
        "n_near_duplicates": int(leak.sum()),
        "n_near_duplicates_correct": int((leak & (outcome.predictions == labels)).sum()),
        "session_kind": outcome.kind,
        "branches": task.memory.branches,
        "details": json.dumps(dict(outcome.details), sort_keys=True, default=str),
        "notes": json.dumps(dict(outcome.session.notes), sort_keys=True, default=str),
        "support_items": len(task.support),
        "memory_items": len(task.memory),
        "exemplars": outcome.exemplars,
        "state_bytes": outcome.state_bytes,
        **{f"{kind}_bytes": size for kind, size in asdict(outcome.stored).items()},
        **outcome.cost,
        "support_fingerprint": task.support.fingerprint,
        "memory_fingerprint": task.memory.fingerprint,
        "queries_fingerprint": queries.fingerprint,
    }


def _predictions(cell: str, outcomes: Sequence[Outcome], leaks: Sequence[Tensor]) -> dict[str, Any]:
    import numpy as np

    sizes = [len(o.session.queries) for o in outcomes]
    return {
        "cell": [cell] * sum(sizes),
        "session": np.repeat([o.session.task.session for o in outcomes], sizes),
        "query": np.concatenate([o.session.queries.ids for o in outcomes]),
        "label": torch.cat([o.session.queries.labels.cpu() for o in outcomes]).numpy(),
        "prediction": torch.cat([o.predictions for o in outcomes]).numpy(),
        "rank": torch.cat([o.ranks for o in outcomes]).numpy(),
        "confidence": torch.cat([o.confidences for o in outcomes]).double().numpy(),
        "near_duplicate": torch.cat(list(leaks)).numpy(),
    }


@contextmanager
def _deterministic(device: str) -> Iterator[None]:
    """Ask CUDA for deterministic kernels inside the block; on the CPU they are."""
    before = torch.are_deterministic_algorithms_enabled()
    if device.startswith("cuda"):
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _progress(run: Run, finished: set[str], wanted: bool) -> Iterator[Any]:
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
) -> pd.DataFrame:
    """Run a comparison and return its records, one row a method x scenario x data set x condition x session x seed.

    Parameters
    ----------
    scenario, methods, data
        Names, paths, or your own objects: a scenario, a method (instance or class), a :class:`bench.task.Dataset`.
    seeds : int or list
        A count (0 to n - 1) or the seeds themselves.
    set : mapping, optional
        Parameters by name, e.g. ``{"knn.k": 16}``; a list of values is a sweep.
    out : path, optional
        Where runs are kept and continued; None keeps nothing on disk.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    jobs : int
        Worker processes. More than one need methods, scenarios and data sets by name, not as objects.
    search : str
        The engine that answers every search: ``exact``, ``hnsw``, ``ivfpq``, ``sq8`` or ``milvus:ADDRESS``.

    Returns
    -------
    pandas.DataFrame
        The columns of :data:`bench.records.COLUMNS`.

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
        )
        execute(planned, arguments=["bench.run"], progress=progress, jobs=jobs)
        return read_records(planned.folder)
