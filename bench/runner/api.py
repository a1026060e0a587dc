"""A comparison from Python, as its records; :func:`bench.notebook.api.run` is what ``bench.run`` is."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.dataset import Dataset
from bench.core.protocols import Method, Scenario
from bench.runner.config import RunConfig
from bench.runner.events import RunSummary, in_words
from bench.runner.loop import execute
from bench.runner.parallel.pools import workers
from bench.runner.plan import encoded, plan
from bench.utils.atomic import scratch_folder
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

    Arguments are those of :func:`bench.notebook.api.run`. Without ``out`` nothing is kept on disk.

    Returns
    -------
    pandas.DataFrame
        The columns of :data:`bench.results.schema.COLUMNS`.

    Raises
    ------
    BenchError
        As :func:`run_in` does.
    """
    given = {"scenario": scenario, "methods": methods, "data": data, "seeds": seeds, **options}
    scratch = scratch_folder()
    try:
        records = run_in(scratch, given).records
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    assert records is not None
    return records


def run_in(folder: Path, given: Mapping[str, Any], *, above: int = 2) -> RunSummary:
    """Run a comparison, and return what came of it with all records.

    Parameters
    ----------
    folder : Path
        Where runs are kept unless ``given`` names ``out``.
    given : mapping
        Options of :class:`bench.runner.config.RunConfig`; None is the same as to leave one out.
    above : int
        How many calls above this one stands the line that warnings of failed cells name.

    Raises
    ------
    BenchError
        For an option or a value that does not fit, and with ``fail_fast`` for the first cell that fails.
    """
    said = {name: value for name, value in given.items() if value is not None}
    config = encoded(RunConfig.merged(None, {"out": folder, **said}), said=lambda made: None)
    planned = plan(config)
    for line in planned.notices:
        warnings.warn(line, RuntimeWarning, stacklevel=above + 1)
    command = ["bench.run"]
    summary = execute(planned, arguments=command, workers=workers(planned, arguments=command), keep_records=True)
    if summary.stopped:
        failure = BenchError(in_words(summary.failed)[0])
        failure.add_note(str(summary.failed[0].traceback))
        raise failure
    for line in in_words(summary.failed):
        warnings.warn(line, RuntimeWarning, stacklevel=above + 1)
    return summary
