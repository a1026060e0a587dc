"""Writes the pages that are made from the code: ``python -m tools.pages``.

A page of a catalogue may lack what was added since it was written, and must be true of all it tells. So a new method
breaks no page, while one that was changed or removed does.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from tools import completions, experiments_page, methods_page, options_page, results_page, scenarios_page

DOCS = Path(__file__).resolve().parent.parent / "docs"

PAGES: dict[str, Callable[[], str]] = {
    "experiments": experiments_page.page,
    "methods": methods_page.page,
    "options": options_page.page,
    "results": results_page.page,
    "scenarios": scenarios_page.page,
}
"""What writes each page, by the page's name in ``docs/``."""


def outdated(stored: str, made: str) -> list[str]:
    """Return the lines of a stored page that the made one does not have (in this order)."""
    changes = difflib.unified_diff(stored.splitlines(), made.splitlines(), n=0, lineterm="")
    return [line[1:] for line in changes if line.startswith("-") and not line.startswith("---")]


def write() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / f"{name}.md").write_text(page())
    completions.main()


if __name__ == "__main__":
    write()
