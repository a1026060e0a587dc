"""The tutorials run from top to bottom, and stand in the repository with what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.notebook_page import notebook_page

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare", "method", "table"]


@every_notebook
def test_a_tutorial_runs(path: Path) -> None:
    for needed in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(needed, reason="pip install 'retrieval-bench[dev]'")
    from tools.tutorials import executed

    made = executed(path)
    kept = json.loads(path.read_text())
    for cell, before in zip(made.cells, kept["cells"], strict=True):
        assert bool(cell.get("outputs")) == bool(before.get("outputs"))


@every_notebook
def test_what_it_printed_is_kept_and_names_no_place(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert sum(bool(cell["outputs"]) for cell in code) >= len(code) / 2
    for cell in code:
        text = json.dumps(cell["outputs"])
        assert "Traceback" not in text
        assert not any(
            place in text for place in ("/tmp/", "/home/", "/root/", f"{Path(__file__).resolve().parents[3]}/")
        )
    assert path.stat().st_size < 200_000


@every_notebook
def test_the_page_has_words_code_and_outputs(path: Path) -> None:
    page = notebook_page(path)
    assert page.startswith("# ")
    assert "```python\nimport bench" in page or "\nimport bench\n" in page
    assert "<table" in page
    assert f"]({path.name})" in page
