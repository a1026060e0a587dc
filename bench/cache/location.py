"""The folder of the feature cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "BENCH_CACHE"
PACKS = "packs"
"""Folder of the packs that ``bench run --encoder`` makes of images; each can be made again from the spaces."""
INDEXES = "indexes"
"""Folder of the indexes that ``bench run --search`` makes of large memories; each can be made again."""


def cache_root() -> Path:
    """Return ``$BENCH_CACHE``, or ``retrieval-bench`` in the platform's folder for a user's caches."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "retrieval-bench"
