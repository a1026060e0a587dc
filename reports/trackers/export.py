"""Finished runs in the files of TensorBoard, MLflow and Weights & Biases, written without any network."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.reports.analysis import Analysis
from bench.reports.trackers.tracks import tracks
from bench.reports.trackers.writers import WRITERS
from bench.utils.atomic import making_folder, require_space
from bench.utils.errors import BenchError, one_line
from bench.utils.names import printable

_SMALLEST = 2 << 20
"""Bytes that the files of a tracker take before there is anything in them, at most."""
_EACH = 128 << 10
"""Bytes of a cell in them, at most."""


def export(folders: Sequence[Path], to: str, out: Path) -> tuple[str, tuple[str, ...]]:
    """Write the runs for a tracker into a new or empty folder; return how to look at it, and the runs' warnings.

    The folder is put in place when everything is in it.

    Raises
    ------
    BenchError
        If the tracker's package is not installed, the folder holds something or cannot be written, or there is nothing
        to export.
    """
    analysis = Analysis.of(folders)
    cells = tracks(analysis)
    try:
        if out.exists() and any(out.iterdir()):
            raise BenchError(
                f"{out} is not empty, and an export would be mixed with what is there; choose another --out"
            )
        # What some of these packages do where the disk is full, is to go on as if they had written.
        require_space(out, _SMALLEST + _EACH * len(cells), what=f"an export to {to}")
        with making_folder(out) as scratch:
            with _without_tracebacks():
                how = WRITERS[to](cells, scratch, out)
            if out.is_dir():
                out.rmdir()
    except OSError as error:
        raise BenchError(f"cannot write to {out}: {error.strerror}; choose another --out") from None
    except ImportError as error:
        raise BenchError(
            f"{to} is not installed ({error.name or error}); `pip install 'retrieval-bench[export]'`"
        ) from None
    except BenchError:
        raise
    except Exception as error:  # each package has exceptions of its own
        raise BenchError(f"{to} could not write to {out}: {printable(one_line(error))}") from None
    return how, analysis.run_warnings


@contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Keep quiet what these packages print, and then go on or raise, where they cannot write."""
    before = logging.raiseExceptions, threading.excepthook
    logging.raiseExceptions, threading.excepthook = False, lambda _: None
    try:
        yield
    finally:
        logging.raiseExceptions, threading.excepthook = before
