"""The folder of the feature cache."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from bench.utils.names import expand

VARIABLE = "BENCH_CACHE"
PACKS = "packs"
"""Folder of the packs that ``bench run --encoder`` makes of images; each can be made again from the spaces."""
INDEXES = "indexes"
"""Folder of the indexes that ``bench run --search`` makes of large memories; each can be made again."""


def cache_root() -> Path:
    """Return ``$BENCH_CACHE``, or ``retrieval-bench`` in the platform's folder for a user's caches."""
    chosen = os.environ.get(VARIABLE)
    return expand(Path(chosen)) if chosen else user_cache_path("retrieval-bench", appauthor=False, opinion=False)
