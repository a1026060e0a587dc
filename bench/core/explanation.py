"""Explanations of answers as plain values: neighbours with their weights, and similarities to prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from bench.core.memory import Items


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """One retrieved item of a query.

    Attributes
    ----------
    item : str
        Its id.
    label : int
        The class id under which it was found, for which it votes.
    similarity : float
        Cosine similarity to the query.
    weight : float
        How much it counts; what that means is said by :attr:`Explanation.weights`.
    branch : str
        ``image`` or ``text``: the memory it was retrieved for.
    """

    item: str
    label: int
    similarity: float
    weight: float
    branch: str = "image"


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """The explanation of one answer.

    Attributes
    ----------
    neighbours : tuple of Neighbour
        By branch, nearest first; empty for a method that retrieves nothing.
    weights : str
        What the weights of the neighbours are, in a few words.
    prototypes : mapping of str to Tensor [c]
        By branch, the cosine of the query, as the method embeds it, to each class's prototype in column order.
    """

    neighbours: tuple[Neighbour, ...] = ()
    weights: str = ""
    prototypes: Mapping[str, Tensor] = field(default_factory=dict)


def neighbours(
    items: Items, positions: Tensor, similarities: Tensor, weights: Tensor, branch: str = "image"
) -> tuple[Neighbour, ...]:
    """Return the neighbours of one query as values; positions, similarities and weights are [k]."""
    names = items.ids[positions.cpu().numpy()].tolist()
    rows = zip(names, items.labels[positions].tolist(), similarities.tolist(), weights.tolist(), strict=True)
    return tuple(Neighbour(item=i, label=c, similarity=s, weight=w, branch=branch) for i, c, s, w in rows)
