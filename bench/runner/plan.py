"""Planning of a run: its cells, their identities, and their episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from bench.cache import SOURCES, cache_root
from bench.core.dataset import Dataset, require_same_space
from bench.core.protocols import Condition
from bench.data.registry import resolve
from bench.device.choose import choose_device
from bench.runner.config import RunConfig
from bench.runner.identity import engine_fingerprint, evaluation_fingerprint
from bench.runner.oracle import oracles
from bench.runner.parallel.work_units import Shard
from bench.runner.recipes import LabelledRecipe, choose_recipes
from bench.runner.saved_weights import SavedWeights, load_saved_weights
from bench.runner.selection import SelectOn, lacking
from bench.search import Engine, Exact
from bench.search.approximate.by_name import named_engine
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.source_index import source_index
from bench.utils.version import SCHEMA


@dataclass(frozen=True, eq=False)
class EpisodeSpec:
    """One episode to be dealt, with the cells (one a method) that are run on it."""

    scenario: LabelledRecipe
    dataset: Dataset
    source: Dataset | None
    condition: Mapping[str, Any]
    seed: int
    cells: Mapping[str, str]
    select_on: SelectOn = "support"
    instead: str = ""
    """Why ``select_on`` is not what was asked for."""

    @property
    def group(self) -> tuple[str, str, str, int]:
        """What episodes have in common that may ask the same queries, and whose methods draw the same."""
        source = self.source.fingerprint if self.source is not None else ""
        return self.scenario.label, self.dataset.fingerprint, source, self.seed


@dataclass(frozen=True, eq=False)
class Run:
    """A planned run: its identity, its folder, its options, its methods, and the episodes to deal."""

    name: str
    folder: Path
    config: RunConfig
    methods: tuple[LabelledRecipe, ...]
    episodes: tuple[EpisodeSpec, ...]
    device: str
    manifest: Mapping[str, Any]
    trained: Mapping[tuple[str, int], SavedWeights] = field(default_factory=dict)
    """Loaded weights by method label and seed."""
    engine: Engine = field(default_factory=Exact)
    """What answers every search."""
    notices: tuple[str, ...] = ()
    """What is done otherwise than asked for, one line each."""

    @property
    def n_cells(self) -> int:
        """Number of cells, finished or not."""
        return sum(len(spec.cells) for spec in self.episodes)

    @cached_property
    def repeating(self) -> frozenset[Hashable]:
        """The groups in which several cells are of one method, whatever its parameters."""
        names = {named.label: [candidate.name for candidate in named.candidates] for named in self.methods}
        found = Counter((spec.group, name) for spec in self.episodes for label in spec.cells for name in names[label])
        return frozenset(group for (group, _), cells in found.items() if cells > 1)

    def shard(self, shard: Shard) -> Run:
        """Return one part of the run, in a folder of its own beside the run's."""
        parts = shard.of([spec.cells for spec in self.episodes])
        episodes = [replace(spec, cells=cells) for spec, cells in zip(self.episodes, parts, strict=True)]
        folder = self.folder.with_name(f"{self.folder.name}-{shard.number}of{shard.count}")
        manifest = {**self.manifest, "cells": sum(len(spec.cells) for spec in episodes)}
        manifest |= {"shard": str(shard), "cells_of_all_shards": self.n_cells}
        return replace(self, folder=folder, episodes=tuple(episodes), manifest=manifest)


def plan(config: RunConfig) -> Run:
    """Return the planned run; nothing is written yet but what the cache keeps.

    A run's identity is a hash of everything that shapes its records: recipes, parameters, data, seeds, device, loaded
    weights, and the code that computes; see :mod:`bench.runner.identity`.

    Raises
    ------
    BenchError
        If a name is unknown, a value does not fit, or what is asked for does not go together.
    """
    with _what_code_says():
        return _planned(config)


def _what_code_says() -> AbstractContextManager[None]:
    try:
        return source_index(cache_root() / SOURCES)
    except BenchError:
        # A cache that cannot be used is told where something is needed of it.
        return nullcontext()


def _planned(config: RunConfig) -> Run:
    shard = Shard.parse(config.shard) if config.shard is not None else None
    scenarios, methods = choose_recipes(config.scenario, config.methods, config.set)
    device = choose_device(config.device)
    datasets = [resolve(name) for name in config.data]
    if len({dataset.name for dataset in datasets}) < len(datasets):
        raise BenchError("two of the data sets have the same name; rename one in its pack.yaml")
    for dataset in datasets:
        dataset.check()
    if config.tune > 1 and config.oracle:
        raise BenchError("--tune chooses on labelled images and --oracle on the queries; leave one out")
    recipes = (*methods, *oracles(methods, config.oracle))
    trained = load_saved_weights(config.load, recipes, config.seeds, datasets) if config.load else {}
    code = evaluation_fingerprint()
    # Which of several cards it was makes no difference that is meant.
    kind = device.partition(":")[0]
    shared = {"schema": SCHEMA, "code": code, "device": kind, "experiment": config.experiment, **config.shaping()}
    # Exact engines give the same answers, so which of them searches is no part of the run's identity.
    engine = named_engine(config.search)
    shared |= {} if isinstance(engine, Exact) else {"search": engine.name, "search_code": engine_fingerprint(engine)}
    episodes = tuple(
        replace(spec, select_on="support" if why else config.selection, instead=why)
        for spec in _episodes(scenarios, recipes, datasets, config.seeds, shared, trained)
        for why in [lacking(config.selection, spec.dataset)]
    )
    cells = sorted(cell for spec in episodes for cell in spec.cells.values())
    if not cells:
        raise BenchError("nothing to run: a list of methods, data sets or values is empty; name at least one")
    name = digest(cells)[:16]
    manifest = {
        "run": name,
        "cells": len(cells),
        "scenarios": [one.identity | {"code": one.code} for one in scenarios],
        "methods": [one.identity | {"code": one.code} for one in recipes],
        "loaded": sorted({t.origin for t in trained.values()}),
        "experiment": config.experiment,
        "datasets": [vars(dataset.card) for dataset in datasets],
        "versions": {dataset.name: dataset.fingerprint[:12] for dataset in datasets},
        "class_names": {dataset.name: list(dataset.class_names) for dataset in datasets},
        "seeds": list(config.seeds),
        "device": kind,
        "precision": config.precision,
        "tune": config.tune,
        "selection": config.selection,
        "calibrate": config.calibrate,
        "search": "exact" if isinstance(engine, Exact) else engine.name,
        "code": code,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    run = Run(
        name=name,
        folder=config.out / f"{'+'.join(sorted({one.recipe.name for one in scenarios}))}-{name[:10]}",
        config=config,
        methods=recipes,
        episodes=episodes,
        device=device,
        manifest=manifest,
        trained=trained,
        engine=engine,
        notices=tuple(
            f"{why}: images held out of the support choose there, not --selection {config.selection}; give its role "
            "'validation' a split to choose on that"
            for why in (lacking(config.selection, dataset) for dataset in datasets)
            if why
        ),
    )
    return run if shard is None else run.shard(shard)


def encoded(config: RunConfig, said: Callable[[Any], object]) -> RunConfig:
    """Return the options with the data in the spaces of their encoders, if they name any, which are then done with.

    ``said`` is told of each pack that was made; see :func:`bench.data.encode_on_the_fly.encode_all`.
    """
    if not config.encoder:
        beside = [name for name in ("texts", "templates") if name in config.model_fields_set]
        if beside and getattr(config, beside[0]) != RunConfig.model_fields[beside[0]].default:
            raise BenchError(f"--{beside[0]} is about texts that --encoder makes; name an encoder, or leave it out")
        return config
    for one in config.data:
        if not isinstance(one, (str, Path)):
            raise BenchError(f"--encoder makes features of images; {type(one).__name__} has them; leave one out")
    # What decodes and fetches images takes a third of a second to import, and most runs have features.
    from bench.data.encode_on_the_fly import encode_all

    device = choose_device(config.device)
    wanted = [str(one) for one in config.data]
    packs = encode_all(
        wanted,
        config.encoder,
        device=device,
        progress=config.progress,
        said=said,
        texts=config.texts,
        templates=config.templates,
    )
    done_with = {name: RunConfig.model_fields[name].default for name in ("encoder", "texts", "templates")}
    return config.model_copy(update={"data": tuple(packs), **done_with})


def _conditions(named: LabelledRecipe, dataset: Dataset) -> list[Condition]:
    """Return the conditions of a scenario; of two that are equal one would count twice.

    Raises
    ------
    BenchError
        If one is there twice, as of ``shots=[1, 1]``.
    """
    conditions = list(named.recipe.conditions(dataset))
    seen = set()
    for condition in conditions:
        key = digest(condition)
        if key in seen:
            values = ", ".join(f"{name} {value}" for name, value in condition.items())
            raise BenchError(f"scenario {named.label!r} has one condition twice ({values}); give each value once")
        seen.add(key)
    return conditions


def _episodes(
    scenarios: Sequence[LabelledRecipe],
    methods: Sequence[LabelledRecipe],
    datasets: Sequence[Dataset],
    seeds: Sequence[int],
    shared: Mapping[str, Any],
    trained: Mapping[tuple[str, int], SavedWeights],
) -> Iterator[EpisodeSpec]:
    """Yield every episode to deal; a cell's name is a hash of all that shapes it, ``shared`` by the whole run."""
    # Each file of code is read and hashed once, not once a cell.
    recipes = [(m.label, {"method": m.identity, "method_code": m.code}) for m in methods]
    for named in scenarios:
        dealt_by = {"scenario": named.identity, "scenario_code": named.code}
        train_on = getattr(named.recipe, "train_on", None)
        source = resolve(train_on) if train_on else None
        if source is not None:
            source.check()
        for dataset in datasets:
            if source is not None:
                require_same_space(source, dataset)
            # Seed by seed, since the conditions of one seed share work, and what they share is kept within a bound.
            for seed, condition in product(seeds, _conditions(named, dataset)):
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
                yield EpisodeSpec(named, dataset, source, condition, seed, cells)
