"""Exact search on the device against the float64 definition on the CPU, with duplicates that lie far apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.functional.classwise import normalise
from bench.perf.comparisons import draw
from bench.search import Neighbours, top_k
from bench.search.reference import pair_similarities, search_float64
from tools.gpu.section import Deadline, Row

Search = Callable[[Tensor, Tensor, int], Neighbours]

ROUNDING = 2.0**-21
"""Similarities that are closer than this are in the order that a device gives them, unless the keys are copies of one
another: unit vectors are float32, and their norms are summed in an order that depends on the device."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is searched. The number of keys is odd, so that the last block of any size is a short one."""

    keys: int = 20_011
    queries: int = 64
    dimension: int = 512
    k: int = 32


@dataclass(frozen=True)
class Disagreement:
    """Where an answer differs from the definition's.

    Attributes
    ----------
    wrong : int
        Places with a key that is less similar than the right one, or with another copy of it: the lowest comes first.
    rounding : int
        Places with a key whose similarity differs by no more than the rounding of unit vectors.
    """

    wrong: int
    rounding: int


def disagreement(queries: Tensor, keys: Tensor, found: Tensor) -> Disagreement:
    """Compare positions [q, k] with the definition, on the CPU."""
    q = normalise(queries.contiguous())
    k = found.shape[1]
    right, similarities = search_float64(q, keys, k)
    rows = torch.arange(len(q)).repeat_interleave(k)
    theirs = pair_similarities(q, keys, rows, found.reshape(-1)).view(found.shape)
    other = found != right
    # Copies may have other lengths: it is unit vectors that are compared.
    units = normalise(keys)
    copies = (units[found] == units[right]).all(-1)
    wrong = other & (copies | ~((theirs - similarities).abs() <= ROUNDING))
    return Disagreement(int(wrong.sum()), int((other & ~wrong).sum()))


def kinds(scale: Scale) -> dict[str, Callable[[], tuple[Tensor, Tensor]]]:
    """Return queries and keys by what they hold, drawn when they are asked for."""
    n, d = scale.keys, scale.dimension

    def base() -> tuple[Tensor, Tensor]:
        return draw(scale.queries, d, "queries"), draw(n, d, "keys")

    def far() -> tuple[Tensor, Tensor]:
        queries, keys = base()
        # The nearest key of each query again at the start, in the middle and in the short last block.
        nearest = (queries @ keys.T).argmax(1)[: n // 8]
        for start in (0, n // 2, n - len(nearest)):
            keys[start : start + len(nearest)] = keys[nearest].clone()
        return queries, keys

    def captions() -> tuple[Tensor, Tensor]:
        queries, keys = base()
        return queries, keys[: max(1, n // 100)].repeat(101, 1)[:n]

    def scaled() -> tuple[Tensor, Tensor]:
        queries, keys = far()
        # Powers of two move no bit of the unit vector.
        return queries, keys * torch.tensor([0.5, 1.0, 4.0]).repeat(n)[:n, None]

    return {
        "no duplicates": base,
        "the nearest key in four places": far,
        "every key a hundred times": captions,
        "duplicates of other lengths": scaled,
        "the same in float16": lambda: (far()[0], far()[1].half()),
    }


def rows(
    device: str,
    deadline: Deadline,
    *,
    scale: Scale = Scale(),
    search: Search = top_k,
) -> Iterator[Row]:
    """Yield how many of all places are wrong, for each kind of keys."""
    drawn = kinds(scale)
    for kind in deadline.each(list(drawn)):
        if isinstance(kind, Row):
            yield kind
            return
        queries, keys = drawn[kind]()
        asked, searched = queries.to(device), keys.to(device)
        start = time.perf_counter()
        # Fetched to the CPU, which waits for the device.
        found = search(asked, searched, scale.k).positions.cpu()
        seconds = time.perf_counter() - start
        apart = disagreement(queries, keys, found)
        yield Row(
            {
                "keys": kind,
                "places": found.numel(),
                "wrong": apart.wrong,
                "by rounding": apart.rounding,
                "seconds, first call": seconds,
            },
            f"{kind}: {apart.wrong} of {found.numel()} places are not the definition's" if apart.wrong else "",
        )
