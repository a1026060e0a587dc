"""``bench.run``: a comparison from Python."""

from __future__ import annotations

import inspect
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.core.dataset import Dataset
from bench.core.protocols import Method, Scenario
from bench.notebook.result import Result
from bench.runner.api import run_in
from bench.runner.config import RunConfig
from bench.utils.atomic import scratch_folder


def run(
    scenario: str | Scenario | type | Sequence[str | Scenario | type] | None = None,
    methods: str | Method | type | Sequence[str | Method | type] | None = None,
    data: str | Path | Dataset | Sequence[str | Path | Dataset] | None = None,
    seeds: int | str | Sequence[int] | None = None,
    **options: Any,
) -> Result:
    """Run a comparison and return its result, which a notebook shows as a leaderboard.

    Every option of ``bench run`` is an argument, with an underscore for a dash; :class:`bench.runner.config.RunConfig`
    lists them. None is the same as to leave one out.

    Parameters
    ----------
    scenario, methods, data
        Names, paths, or your own objects: a scenario, a method (instance or class; any class with ``build`` and
        ``score`` will do), a :class:`bench.core.dataset.Dataset`; one or several.
    seeds : int or list
        A count (0 to n - 1) or the seeds themselves.
    **options
        Among them ``set`` (parameters by name, e.g. ``{"knn.k": 16}``; a list of values is a sweep), ``out`` (where
        runs are kept and continued; without it files are gone when the result is), ``device``, ``search``,
        ``precision`` and ``jobs`` (worker processes; more than one need methods, scenarios and data sets by name, not
        as objects).

    Returns
    -------
    Result
        ``frame`` has one row a method x scenario x data set x condition x session x seed. A cell whose method raised
        has the status ``failed`` there and is shown; a warning says so, too.

    Raises
    ------
    BenchError
        For an option or a value that does not fit, and with ``fail_fast`` for the first cell that fails.

    Examples
    --------
    >>> bench.run("incremental", ["knn", "protonet"], "digits", seeds=2).summary()  # doctest: +SKIP
    """
    given = {"scenario": scenario, "methods": methods, "data": data, "seeds": seeds, **options}
    if given.get("out") is not None:
        return Result(run_in(Path("runs"), given))
    scratch = scratch_folder()
    try:
        result = Result(run_in(scratch, given))
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    weakref.finalize(result, shutil.rmtree, scratch, ignore_errors=True)
    return result


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
