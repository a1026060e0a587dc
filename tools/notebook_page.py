"""A notebook as a page of the site: its words, its code, and what the code printed when it was last run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def notebook_page(path: Path) -> str:
    """Return a notebook as Markdown; outputs that are HTML stay HTML."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [part for cell in cells for part in _parts(cell)]
    first, *rest = parts
    fetch = f"*This page is a notebook: [{path.name}]({path.name}).*"
    return "\n\n".join([first, fetch, *rest]) + "\n"


def _parts(cell: Mapping[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/html" in data:
            # Raw HTML ends at an empty line.
            yield re.sub(r"\n\s*\n+", "\n", "".join(data["text/html"]).strip())
        elif output["output_type"] == "stream" and output["name"] == "stdout":
            yield _fenced("".join(output["text"]))
        elif "text/plain" in data:
            yield _fenced("".join(data["text/plain"]))


def _fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"
