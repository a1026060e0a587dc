"""The hash of a large file as a tree, so that all processors check it at once."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK = 1 << 22
"""Bytes of a leaf."""


def tree_digest(path: Path) -> str:
    """Return the root of a file's tree of hashes, in hexadecimal.

    The leaves are the SHA-256 of its blocks of :data:`BLOCK` bytes; the root is the SHA-256 of the file's size (8
    bytes, big endian) and of all leaves. Two levels are enough: the leaves of 100 GiB are 800 kB.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size

        def leaf(start: int) -> bytes:
            return hashlib.sha256(os.pread(descriptor, BLOCK, start)).digest()

        # hashlib and pread let go of the interpreter's lock.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            leaves = list(threads.map(leaf, range(0, size, BLOCK)))
    finally:
        os.close(descriptor)
    return hashlib.sha256(size.to_bytes(8, "big") + b"".join(leaves)).hexdigest()
