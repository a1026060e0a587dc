"""Work of queries x items, done on as many queries at a time as memory holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.cost.shared import name_of, shared

_NUMBERS = 1 << 24
"""Queries times items that are held at a time: 64 MiB of float32."""

_FEW = 1 << 9
"""Queries of a block on a processor where each has some thousand numbers: what they take is memory that the process
already has. To ask the system for more, block by block, takes as long as half of the products."""


def query_blocks(queries: Tensor, width: int) -> Sequence[Tensor]:
    """Return queries [q, d] in blocks whose products with ``width`` items stay within 64 MiB; one block at least."""
    blocks: tuple[Tensor, ...] = queries.split(max(1, _NUMBERS // max(1, width)))
    return blocks


def in_blocks(queries: Tensor, width: int, logits: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``logits`` of queries [q, d], made of blocks whose products with ``width`` items stay within 64 MiB."""
    blocks = [logits(block) for block in query_blocks(queries, width)]
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


def in_small_blocks(queries: Tensor, logits: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``logits`` of queries [q, d]: on a processor of 512 at a time, elsewhere of all at once."""
    if queries.device.type != "cpu" or len(queries) <= _FEW:
        return logits(queries)
    return torch.cat([logits(block) for block in queries.split(_FEW)])


def in_shared_blocks(
    queries: Tensor,
    embed: Callable[..., Tensor],
    drawn: Sequence[Tensor],
    logits: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return ``logits`` of ``embed`` of queries [q, d] in small blocks, where cells of a run share what is embedded.

    Parameters
    ----------
    embed : callable
        A function of a module, so that it is the same for every cell; makes features [b, D] of queries [b, d] and of
        what is drawn.
    drawn : sequence of Tensor
        By :func:`bench.cost.shared.shared`, else nothing is shared.
    logits : callable
        Does not write to the features.
    """
    names = [name_of(tensor) for tensor in (queries, *drawn)]
    first = 0

    def answered(block: Tensor) -> Tensor:
        nonlocal first
        first += len(block)
        if None in names:
            return logits(embed(block, *drawn))
        (features,) = shared((embed, *names, first), lambda: (embed(block, *drawn),))
        return logits(features)

    return in_small_blocks(queries, answered)


def summed_by_class(values: Tensor, columns: Tensor, n_classes: int) -> Tensor:
    """Return values [n, q] of n items for q queries summed by the items' classes [n], [q, c].

    Items lie along the rows, so that one is added to all queries at once, as a whole row.
    """
    return values.new_zeros(n_classes, values.shape[1]).index_add_(0, columns, values).T
