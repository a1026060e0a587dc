"""Runs the tutorials and writes what they print into them.

python -m tools.tutorials    # docs/tutorials/*.ipynb, each in a folder of its own that is then gone
"""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "tutorials"
_LIMIT = 300
"""Seconds of one cell."""


def executed(path: Path) -> Any:
    """Return a notebook with its outputs; a cell that raises ends it with its traceback."""
    notebook = nbformat.read(path, as_version=4)
    made = copy.deepcopy(notebook)
    with tempfile.TemporaryDirectory() as folder:
        # The kernel finds the package of this repository, wherever it is started.
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": paths}
        client = NotebookClient(made, timeout=_LIMIT, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.execute(env=environment)
    for cell in made.cells:
        cell.metadata = nbformat.NotebookNode()
        if "outputs" in cell:
            # Progress, and notices of this very machine.
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            if output.output_type in ("display_data", "execute_result"):
                output.metadata = nbformat.NotebookNode()
    made.metadata = notebook.metadata
    return made


def main() -> None:
    """Write all tutorials anew."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        made = executed(path)
        path.write_text(nbformat.writes(made) + "\n", encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
