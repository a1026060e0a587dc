"""``bench.run``: a comparison from Python."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.dataset import Dataset
from bench.core.protocols import Method, Scenario
from bench.results.run_folder import read_records
from bench.runner.config import DEFAULT_DATA, DEFAULT_METHODS, DEFAULT_SCENARIO, DEFAULT_SEEDS
from bench.runner.loop import execute
from bench.runner.parallel.pools import workers
from bench.runner.plan import prepare

if TYPE_CHECKING:
    import pandas as pd


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
        Names, paths, or your own objects: a scenario, a method (instance or class), a
        :class:`bench.core.dataset.Dataset`.
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
        arguments = ["bench.run"]
        execute(
            planned, arguments=arguments, progress=progress, workers=workers(planned, jobs=jobs, arguments=arguments)
        )
        return read_records(planned.folder)
