"""``bench.run``: a comparison from Python."""

from __future__ import annotations

import inspect
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.dataset import Dataset
from bench.core.protocols import Method, Scenario
from bench.runner.config import RunConfig
from bench.runner.events import in_words
from bench.runner.loop import execute
from bench.runner.parallel.pools import workers
from bench.runner.plan import encoded, plan
from bench.utils.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd


def run(
    scenario: str | Scenario | type | Sequence[str | Scenario | type] | None = None,
    methods: str | Method | type | Sequence[str | Method | type] | None = None,
    data: str | Path | Dataset | Sequence[str | Path | Dataset] | None = None,
    seeds: int | str | Sequence[int] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Run a comparison and return its records, one row a method x scenario x data set x condition x session x seed.

    Every option of ``bench run`` is an argument, with an underscore for a dash; :class:`bench.runner.config.RunConfig`
    lists them. None is the same as to leave one out.

    Parameters
    ----------
    scenario, methods, data
        Names, paths, or your own objects: a scenario, a method (instance or class), a
        :class:`bench.core.dataset.Dataset`; one or several.
    seeds : int or list
        A count (0 to n - 1) or the seeds themselves.
    **options
        Among them ``set`` (parameters by name, e.g. ``{"knn.k": 16}``; a list of values is a sweep), ``out`` (where
        runs are kept and continued; without it nothing is kept on disk), ``device``, ``search``, ``precision`` and
        ``jobs`` (worker processes; more than one need methods, scenarios and data sets by name, not as objects).

    Returns
    -------
    pandas.DataFrame
        The columns of :data:`bench.results.schema.COLUMNS`. A cell whose method raised has the status ``failed``; a
        warning says so.

    Raises
    ------
    BenchError
        For an option or a value that does not fit, and with ``fail_fast`` for the first cell that fails.

    Examples
    --------
    >>> frame = bench.run("incremental", ["knn", "protonet"], "digits", seeds=2)  # doctest: +SKIP
    """
    given = {"scenario": scenario, "methods": methods, "data": data, "seeds": seeds, **options}
    given = {name: value for name, value in given.items() if value is not None}
    with tempfile.TemporaryDirectory() as scratch:
        config = encoded(RunConfig.merged(None, {"out": Path(scratch), **given}), said=lambda made: None)
        planned = plan(config)
        command = ["bench.run"]
        summary = execute(planned, arguments=command, workers=workers(planned, arguments=command), keep_records=True)
    if summary.stopped:
        failure = BenchError(in_words(summary.failed)[0])
        failure.add_note(str(summary.failed[0].traceback))
        raise failure
    for line in in_words(summary.failed):
        warnings.warn(line, RuntimeWarning, stacklevel=2)
    assert summary.records is not None
    return summary.records


def _signature() -> inspect.Signature:
    """Return the options as arguments, for whoever looks the function up: the first four by place, too."""
    named = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD if place < 4 else inspect.Parameter.KEYWORD_ONLY,
            default=None if name == "out" else default,
        )
        for place, (name, default) in enumerate(_options().items())
    ]
    return inspect.signature(run).replace(parameters=named)


def _options() -> dict[str, Any]:
    """Return every option with its default, the four that are given by place first."""
    defaults = {name: field.default for name, field in RunConfig.model_fields.items()}
    first = ("scenario", "methods", "data", "seeds")
    return {**{name: defaults[name] for name in first}, **defaults}


run.__signature__ = _signature()  # type: ignore[attr-defined]
