"""One run's folder: its manifest, and which of its cells are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, eq=False)
class RunInfo:
    """One run's folder and how far it got."""

    folder: Path
    manifest: dict[str, Any]
    cells: frozenset[str]

    @property
    def finished(self) -> int:
        """Number of cells that are there; one that was skipped or failed is."""
        return len(self.cells)

    @property
    def planned(self) -> int:
        """Number of cells the run will have."""
        return int(self.manifest.get("cells", self.finished))
