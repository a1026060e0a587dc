"""The float32 matrix product of torch or that of numpy, whichever this processor does more quickly.

torch brings a library whose kernels are meant for processors of one maker, numpy mostly one that has kernels for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.cost.meter import uncounted

_QUERIES, _KEYS, _COMPONENTS = 512, 2048, 192
"""The product that is tried: its scores take 4 MiB."""
_TRIES = 3
_LEAD = 0.95
"""Share of torch's time that numpy's product may take at most to be chosen."""


def multiply_float32(queries: Tensor, keys: Tensor, out: Tensor) -> None:
    """Write the products of float32 rows [q, p] and [b, p] to ``out`` [q, b]."""
    if _same_threads() and _numpy_is_quicker():
        _by_numpy(queries, keys, out)
    else:
        _by_torch(queries, keys, out)


def _by_torch(queries: Tensor, keys: Tensor, out: Tensor) -> None:
    torch.mm(queries, keys.T, out=out)


def _by_numpy(queries: Tensor, keys: Tensor, out: Tensor) -> None:
    np.matmul(queries.numpy(), keys.numpy().T, out=out.numpy())


def _same_threads() -> bool:
    """Return whether numpy would multiply with as many threads as torch was told to use."""
    counts = {library.num_threads for library in _libraries()}
    return counts == {torch.get_num_threads()}


@cache
def _libraries() -> list[Any]:
    """Return the libraries that numpy may multiply with; none where they tell no number of threads."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # only large searches multiply so

    # faiss brings one too, whose threads are those of OpenMP.
    return [
        library
        for library in ThreadpoolController().lib_controllers
        if library.internal_api == "openblas" and library.threading_layer == "pthreads"
    ]


@cache
def _numpy_is_quicker() -> bool:
    """Return whether numpy's product took less processor time when both were tried."""
    q, x = torch.ones(_QUERIES, _COMPONENTS), torch.ones(_KEYS, _COMPONENTS)
    out = torch.empty(_QUERIES, _KEYS)

    def seconds(multiply: Callable[[Tensor, Tensor, Tensor], None]) -> float:
        start = time.process_time()
        multiply(q, x, out)
        return time.process_time() - start

    with uncounted():
        taken_each = [(seconds(_by_numpy), seconds(_by_torch)) for _ in range(_TRIES + 1)][1:]
    by_numpy, by_torch = (min(taken) for taken in zip(*taken_each, strict=True))
    return bool(by_numpy < _LEAD * by_torch)
