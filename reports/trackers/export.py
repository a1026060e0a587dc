"""Finished runs in the files of TensorBoard, MLflow and Weights & Biases, written without any network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.reports.analysis import Analysis
from bench.reports.trackers.tracks import tracks
from bench.reports.trackers.writers import WRITERS
from bench.utils.errors import BenchError


def export(folders: Sequence[Path], to: str, out: Path) -> tuple[str, tuple[str, ...]]:
    """Write the runs for a tracker into a new or empty folder; return how to look at it, and the runs' warnings.

    Raises
    ------
    BenchError
        If the tracker's package is not installed, the folder holds something, or there is nothing to export.
    """
    analysis = Analysis.of(folders)
    cells = tracks(analysis)
    there = out.exists()
    try:
        filled = there and any(out.iterdir())
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"cannot write to {out}: {error.strerror}; choose another --out") from None
    if filled:
        raise BenchError(f"{out} is not empty, and an export would be mixed with what is there; choose another --out")
    try:
        return WRITERS[to](cells, out), analysis.run_warnings
    except ImportError as error:
        if not there:
            out.rmdir()
        raise BenchError(
            f"{to} is not installed ({error.name or error}); `pip install 'retrieval-bench[export]'`"
        ) from None
