"""Scores of a block of queries on a device that may be too full for it."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from bench.core.protocols import Method
from bench.utils.errors import Notice


def scored(method: Method, state: Any, queries: Tensor, label: str) -> Tensor:
    """Return a method's scores [q, c] of queries [q, d]; where the device is too full for them, those of their halves.

    That is said once for a number of queries. A method that sees a set is given all together or none.

    Raises
    ------
    torch.OutOfMemoryError
        If a half is too much as well.
    """
    try:
        return method.score(state, queries)
    except torch.OutOfMemoryError:
        if len(queries) < 2 or method.about.sees == "set":
            raise
    # Outside the handler, so that the failed attempt's tensors are free before the next one.
    half = (len(queries) + 1) // 2
    warnings.warn(
        Notice(f"{label}: the GPU is too full to score {len(queries)} queries at a time, so {half} are"), stacklevel=2
    )
    return torch.cat([method.score(state, part) for part in queries.split(half)])
