"""The front of accuracy and cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def front(cost: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points no other beats: none is at most as costly and at least as accurate, and better in one.

    A point whose cost is not known (NaN) is not on the front.
    """
    return front_of(np.asarray(cost)[:, None], np.asarray(accuracy))


def front_of(costs: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points no other beats, of several costs [n, k]; one that lacks a cost is not on the front."""
    cheaper = (costs[:, None] <= costs[None]).all(2) & (accuracy[:, None] >= accuracy)
    strictly = (costs[:, None] < costs[None]).any(2) | (accuracy[:, None] > accuracy)
    return np.asarray(~(cheaper & strictly).any(0) & ~np.isnan(costs).any(1))
