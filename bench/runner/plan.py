"""Planning of a run: its cells, their identities, and their episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from bench.core.dataset import Dataset
from bench.core.protocols import Method, Scenario
from bench.device.choose import choose_device
from bench.device.precision import TrainingPrecision, training_precision
from bench.runner.config import DEFAULT_DATA, DEFAULT_METHODS, DEFAULT_SCENARIO, DEFAULT_SEEDS, Named, parse_seeds, plan
from bench.runner.identity import engine_fingerprint, evaluation_fingerprint
from bench.runner.oracle import oracles
from bench.runner.parallel.work_units import Shard
from bench.runner.saved_weights import Trained, load_trained
from bench.search import Engine, Exact
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.version import SCHEMA


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
    precision: TrainingPrecision = "fp32"
    """What trainings compute their loss in."""

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
    precision: str = "fp32",
) -> Run:
    """Return the planned run; nothing is written yet.

    A run's identity is a hash of everything that shapes its records: recipes, parameters, data, seeds, device, loaded
    weights, and the code that computes; see :mod:`bench.runner.identity`.

    Parameters
    ----------
    load : Path, optional
        A run that kept trained weights, which are used in the place of training; see :mod:`bench.runner.saved_weights`.
    save_states : bool
        Keep the weights that methods train on seen classes.
    oracle : sequence of str
        ``knn.k=1,4,16`` adds a method whose parameter is chosen on the queries; see :mod:`bench.runner.oracle`.
    search : str
        The engine that answers every search, such as ``hnsw:m=32:ef=128``; see :mod:`bench.search.approximate`.
    precision : str
        What trainings compute their loss in, ``fp32`` or ``bf16``; see :mod:`bench.device.precision`.
    """
    from bench.data.registry import resolve
    from bench.search.approximate.by_name import named_engine

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
        "precision": precision,
    }
    trained_in = training_precision(precision)
    wanted = plan(scenario, methods, parse_seeds(seeds), assignments or {})
    chosen_device = choose_device(device)
    datasets = [resolve(name) for name in data]
    if len({dataset.name for dataset in datasets}) < len(datasets):
        raise BenchError("two of the data sets have the same name; rename one in its pack.yaml")
    for dataset in datasets:
        dataset.check()
    recipes = (*wanted.methods, *oracles(wanted.methods, oracle))
    trained = load_trained(load, recipes, wanted.seeds, datasets) if load else {}
    code = evaluation_fingerprint()
    # Which of several cards it was makes no difference that is meant.
    kind = chosen_device.partition(":")[0]
    shared = {"schema": SCHEMA, "code": code, "device": kind, "experiment": experiment}
    shared |= {} if trained_in == "fp32" else {"precision": trained_in}
    shared |= {"save_states": True} if save_states else {}
    # Exact engines give the same answers, so which of them searches is no part of the run's identity.
    engine = named_engine(search)
    shared |= {} if isinstance(engine, Exact) else {"search": engine.name, "search_code": engine_fingerprint(engine)}
    deals = tuple(_deals(wanted.scenarios, recipes, datasets, wanted.seeds, shared, trained))
    name = digest(sorted(cell for deal in deals for cell in deal.cells.values()))[:16]
    manifest = {
        "run": name,
        "cells": sum(len(deal.cells) for deal in deals),
        "scenarios": [n.identity | {"code": n.code} for n in wanted.scenarios],
        "methods": [n.identity | {"code": n.code} for n in recipes],
        "loaded": sorted({t.origin for t in trained.values()}),
        "experiment": experiment,
        "datasets": [vars(dataset.card) for dataset in datasets],
        "class_names": {dataset.name: list(dataset.class_names) for dataset in datasets},
        "seeds": list(wanted.seeds),
        "device": kind,
        "precision": trained_in,
        "search": "exact" if isinstance(engine, Exact) else engine.name,
        "code": code,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    scenarios = "+".join(sorted({named.recipe.name for named in wanted.scenarios}))
    return Run(
        name=name,
        folder=out / f"{scenarios}-{name[:10]}",
        methods=recipes,
        deals=deals,
        device=chosen_device,
        manifest=manifest,
        arguments=arguments,
        trained=trained,
        save_states=save_states,
        engine=engine,
        precision=trained_in,
    )


def _deals(
    scenarios: Sequence[Named],
    methods: Sequence[Named],
    datasets: Sequence[Dataset],
    seeds: Sequence[int],
    shared: Mapping[str, Any],
    trained: Mapping[tuple[str, int], Trained],
) -> Iterator[Deal]:
    """Yield every episode to deal; a cell's name is a hash of all that shapes it, ``shared`` by the whole run."""
    from bench.data.registry import resolve

    # Each file of code is read and hashed once, not once a cell.
    recipes = [(m.label, {"method": m.identity, "method_code": m.code}) for m in methods]
    for named in scenarios:
        dealt_by = {"scenario": named.identity, "scenario_code": named.code}
        train_on = getattr(named.recipe, "train_on", None)
        source = resolve(train_on) if train_on else None
        if source is not None:
            source.check()
        for dataset in datasets:
            _same_space(dataset, source)
            for condition, seed in product(named.recipe.conditions(dataset), seeds):
                what = {
                    **shared,
                    **dealt_by,
                    "dataset": dataset.fingerprint,
                    "near": dataset.card.near,
                    "dataset_name": dataset.name,
                    "source": source.fingerprint if source else None,
                    "condition": condition,
                    "seed": seed,
                }
                cells = {}
                for label, recipe in recipes:
                    loaded = trained.get((label, seed))
                    weights = [loaded.fingerprint] if loaded else []
                    cells[label] = digest({**what, **recipe}, *weights)[:20]
                yield Deal(named, dataset, source, condition, seed, cells)


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
