"""Writes the documentation of the result schema from the schema itself: ``python -m tools.results_page``."""

from __future__ import annotations

from pathlib import Path

from bench.records import COLUMNS, PREDICTION_COLUMNS, UNSTABLE
from bench.version import SCHEMA

_HEAD = f"""# Results

Schema version {SCHEMA}. This page is written by `python -m tools.results_page` from `bench/records.py`.

A run's folder, `runs/SCENARIO-ID`, holds `run.json` (what the run is), `records/CELL.parquet` and
`predictions/CELL.parquet`. A cell is one method x scenario x data set x condition x seed. Its predictions are written
first and its record last, each whole or not at all: a cell is finished when its record is there. A run of 1000 cells
or more also has `records.arrow`, all its records in one file, which makes reading quick. It is written when the run
ends, and is not used where a record is not as it was; so copy runs with their files' times, as `cp -a` and `rsync -a`
do. It may be deleted.

```python
import pandas as pd

records = pd.read_parquet("runs/incremental-0123456789/records")
predictions = pd.read_parquet("runs/incremental-0123456789/predictions")
```

What was not measured is null, never 0. Older schemas are upgraded on reading, newer ones are refused. Two runs of one
thing agree in every column but {", ".join(f"`{name}`" for name in UNSTABLE)}.
"""


def page() -> str:
    """Return the page as Markdown."""

    def table(title: str, columns: dict[str, tuple[str, str]]) -> list[str]:
        rows = [f"| `{name}` | {kind} | {meaning} |" for name, (kind, meaning) in columns.items()]
        return [f"\n## {title}\n", "| column | type | meaning |", "| --- | --- | --- |", *rows]

    lines = [_HEAD.rstrip(), *table("Records: one row a session", COLUMNS)]
    lines += table("Predictions: one row a query", PREDICTION_COLUMNS)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(__file__).resolve().parent.parent / "docs" / "results.md").write_text(page())
