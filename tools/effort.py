"""Counts what it takes to add one of each kind, by the examples of CONTRIBUTING: ``python -m tools.effort``."""

from __future__ import annotations

import re
from pathlib import Path

_CONTRIBUTING = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"


def examples(text: str) -> dict[str, list[str]]:
    """Return the Python files that the sections ``Add a KIND`` show, by kind; one block is one file."""
    sections = re.findall(r"^## Add an? ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    blocks = {kind: re.findall(r"^```python\n(.*?)^```", body, re.DOTALL | re.MULTILINE) for kind, body in sections}
    return {kind: shown for kind, shown in blocks.items() if shown}


def table() -> str:
    """Return files and lines by kind as a Markdown table."""
    rows = ["| to add a | files | lines |", "| --- | ---: | ---: |"]
    for kind, files in examples(_CONTRIBUTING.read_text()).items():
        rows.append(f"| {kind} | {len(files)} | {sum(len(file.splitlines()) for file in files)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
