"""Random numbers of a report: keyed by purpose, so that neither order nor what else is reported moves them."""

from __future__ import annotations

import numpy as np

from bench.utils.random import Stream

SEED = 20260101
"""The seed of every report; the same records give the same bytes."""


def generator(*purpose: str | int) -> np.random.Generator:
    """Return a fresh generator at the start of the stream for a purpose.

    SFC64 where :class:`bench.utils.random.Stream` itself gives Philox: permutations draw many numbers.
    """
    key = Stream(SEED).child("report", *purpose).key()
    return np.random.Generator(np.random.SFC64(int.from_bytes(key, "big")))
