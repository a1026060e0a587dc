"""The folder of the feature cache."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from platformdirs import user_cache_path

from bench.utils.errors import BenchError
from bench.utils.names import expand, shown

VARIABLE = "BENCH_CACHE"
PACKS = "packs"
"""Folder of the packs that ``bench run --encoder`` makes of images; each can be made again from the spaces."""
INDEXES = "indexes"
"""Folder of the indexes that ``bench run --search`` makes of large memories; each can be made again."""
TOWERS = "towers"
"""Folder of the image towers that were exported for ONNX Runtime; each can be made again."""
SOURCES = "sources.json"
"""What the files of code say that a cell depends on; see :mod:`bench.utils.source_index`."""


def cache_root() -> Path:
    """Return ``$BENCH_CACHE``, or ``retrieval-bench`` in the platform's folder for a user's caches.

    Raises
    ------
    BenchError
        If something is there and is no folder, or it cannot be reached.
    """
    chosen = os.environ.get(VARIABLE)
    root = expand(Path(chosen)) if chosen else user_cache_path("retrieval-bench", appauthor=False, opinion=False)
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            raise NotADirectoryError(0, "it is no folder")
    except FileNotFoundError:
        pass  # it is made when something is first written
    except OSError as error:
        place = shown(str(root), longest=200)
        raise BenchError(f"the cache {place} cannot be used: {error.strerror}; set {VARIABLE} to a folder") from None
    return root
