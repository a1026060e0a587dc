"""Work of queries x items, done on as many queries at a time as memory holds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_NUMBERS = 1 << 24
"""Queries times items that are held at a time: 64 MiB of float32."""


def in_blocks(queries: Tensor, width: int, logits: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``logits`` of queries [q, d], made of blocks whose products with ``width`` items stay within 64 MiB."""
    blocks = [logits(block) for block in queries.split(max(1, _NUMBERS // max(1, width)))]
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


def sums_by_class(values: Tensor, columns: Tensor, n_classes: int) -> Tensor:
    """Return values [q, n] of n items summed by the items' classes [n], [q, c].

    It is the product with one-hot labels [n, c], without its c - 1 zeros for each number.
    """
    empty = values.new_zeros(len(values), n_classes)
    return empty.scatter_add(1, columns.expand_as(values), values)
