"""Runs that a test damages, and how a command refuses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from click.testing import CliRunner

from bench.cli.main import main


def refused(folder: Path, command: tuple[str, ...] = ("report",)) -> str:
    """Return the one line with which a command refuses a run."""
    out = folder.parent / "out"
    done = CliRunner().invoke(main, [*command, str(folder), "--out", str(out)])
    assert done.exit_code == 2, done.output
    assert len(done.output.strip().splitlines()) == 1, done.output
    assert done.output.startswith("bench: ")
    assert not out.exists()
    return done.output


def first(folder: Path, part: str = "records") -> Path:
    return sorted((folder / part).glob("*.parquet"))[0]


def rewritten(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path)


def fewer_right(frame: pd.DataFrame) -> pd.DataFrame:
    """Count one answer less, so that the counts themselves still go together."""
    row = frame.index[-1]
    at = int(np.argmax(frame.loc[row, "class_correct"]))
    counts = list(map(list, frame["class_correct"]))
    counts[-1][at] -= 1
    frame.loc[row, "n_correct"] -= 1
    return frame.assign(class_correct=counts)
