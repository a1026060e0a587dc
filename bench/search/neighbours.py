"""The result of a search."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest items of each query, nearest first.

    Attributes
    ----------
    positions : int64 Tensor [q, k]
        Positions in the searched items.
    similarities : float32 Tensor [q, k]
        Cosine similarities, non-increasing along a row.
    by : tuple of str
        What an exact search proposed its candidates with, such as ``exact-int8``; several where it was not the same for
        all queries, none where nothing was compared. Of an answer that an index gives, else the engine's name.
    """

    positions: Tensor
    similarities: Tensor
    by: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """How many neighbours each query has."""
        return int(self.positions.shape[1])

    def first(self, k: int) -> Neighbours:
        """Return a copy of the k nearest of these neighbours."""
        return Neighbours(self.positions[:, :k].clone(), self.similarities[:, :k].clone(), self.by)
