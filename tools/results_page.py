"""Writes the documentation of the result schema from the schema itself: ``python -m tools.pages``."""

from __future__ import annotations

from bench.results.schema import COLUMNS, PREDICTION_COLUMNS, UNSTABLE
from bench.utils.version import SCHEMA

_HEAD = f"""# Results

Schema version {SCHEMA}. This page is written by `make pages` from the schema in the code.

A run is a folder, `runs/SCENARIO-ID`. It holds `run.json` (the settings of the run), `records/CELL.parquet` and
`predictions/CELL.parquet`. A cell is one method x scenario x data set x condition x seed. A cell's predictions are
written first and its record last, each file whole or not at all, so a cell is finished when its record exists. A cell
whose method raised leaves `records/CELL.failed.parquet`, one row with the reason, until it is tried again.

A run of 1000 cells or more also has `records.arrow`, all its records in one file, which makes reading fast. It is
written when the run ends, and is ignored if it or a record has changed since. Copy runs with their file times, as
`cp -a` and `rsync -a` do. The file may be deleted. Reports hold the predictions of a cell against its record, and
refuse both where they disagree.

```python
import pandas as pd

records = pd.read_parquet("runs/incremental-0123456789/records")
predictions = pd.read_parquet("runs/incremental-0123456789/predictions")
```

What was not measured is null, never 0. Another schema is refused on reading. Runs with
identical settings agree in every column except {", ".join(f"`{name}`" for name in UNSTABLE)}.
"""


def page() -> str:
    """Return the page as Markdown."""

    def table(title: str, columns: dict[str, tuple[str, str]]) -> list[str]:
        rows = [f"| `{name}` | {kind} | {meaning} |" for name, (kind, meaning) in columns.items()]
        return [f"\n## {title}\n", "| column | type | meaning |", "| --- | --- | --- |", *rows]

    lines = [_HEAD.rstrip(), *table("Records: one row a session", COLUMNS)]
    lines += table("Predictions: one row a query", PREDICTION_COLUMNS)
    return "\n".join(lines) + "\n"
