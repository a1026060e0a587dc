"""Dot products of chosen pairs of vectors, computed without copying the vectors."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def dots_of_pairs(a: Tensor, b: Tensor, starts: Tensor, columns: Tensor) -> Tensor:
    """Return the dot products of the rows of a, each with some rows of b, [c].

    Each is summed in an order that depends on d alone, so that equal vectors give equal products.

    Parameters
    ----------
    a, b : Tensor [n, d] and [m, d]
        On a processor, of one floating dtype, which the products have too.
    starts : int64 Tensor [n + 1]
        Row i of a is paired with the rows ``columns[starts[i] : starts[i + 1]]`` of b.
    columns : int64 Tensor [c]
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        pairs = torch.sparse_csr_tensor(
            starts, columns, torch.zeros(len(columns), dtype=a.dtype), (len(a), len(b)), check_invariants=False
        )
    found: Tensor = torch.sparse.sampled_addmm(pairs, a, b.T, beta=0.0)
    return found.values()
