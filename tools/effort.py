"""Counts what it takes to add one of each kind, by the examples of CONTRIBUTING: ``python -m tools.effort``."""

from __future__ import annotations

import re
from pathlib import Path

_CONTRIBUTING = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"


def examples(text: str) -> dict[str, list[str]]:
    """Return the Python code that the sections ``Add a KIND`` show, by kind; one block is one file or one place."""
    sections = re.findall(r"^## Add an? ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    blocks = {kind: re.findall(r"^```python\n(.*?)^```", body, re.DOTALL | re.MULTILINE) for kind, body in sections}
    return {kind: shown for kind, shown in blocks.items() if shown}


def where(blocks: list[str]) -> str:
    """Return in how many new files and places of files the blocks stand: a file begins with its docstring."""
    files = sum(block.startswith('"""') for block in blocks)
    counts = {"file": files, "place": len(blocks) - files}
    return ", ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count)


def table() -> str:
    """Return files or places, and lines, by kind as a Markdown table."""
    rows = ["| to add a | in | lines |", "| --- | --- | ---: |"]
    for kind, blocks in examples(_CONTRIBUTING.read_text()).items():
        rows.append(f"| {kind} | {where(blocks)} | {sum(len(block.splitlines()) for block in blocks)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
