"""Tables that `bench certify` and `bench value` leave in a run's folder for its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError, one_line

if TYPE_CHECKING:
    import pandas as pd

CERTIFICATES, VALUES = "certificates.csv", "values.csv"
_GROUP = {"scenario": str, "dataset": str, "condition": str, "seed": "int64"}
_COLUMNS: dict[str, dict[str, Any]] = {
    CERTIFICATES: {**_GROUP, "method": str, "edit": str, "correct": bool, "least": "int64", "exact": bool},
    VALUES: {
        **_GROUP,
        **dict.fromkeys(("item", "class", "source", "keyword", "licence"), str),
        "shapley": "float64",
        "margin": "float64",
    },
}


def keep(folder: Path, name: str, table: pd.DataFrame) -> Path:
    """Write a table into a run's folder, and return its file."""
    path = folder / name
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())
    return path


def kept(folder: Path, name: str) -> pd.DataFrame | None:
    """Return a table of a run's folder; None if there is none.

    Raises
    ------
    BenchError
        If it is damaged.
    """
    import pandas as pd

    path = folder / name
    if not path.is_file():
        return None
    columns = _COLUMNS[name]
    try:
        found = pd.read_csv(
            path, usecols=list(columns), dtype=columns, keep_default_na=False, na_values={"margin": [""]}
        )
    except (ValueError, OSError) as error:
        raise BenchError(f"{path} is damaged ({one_line(error)}); delete it, and make it again") from None
    return found
