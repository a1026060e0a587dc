"""Sets of classes that hold the right one as often as they promise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.utils.random import Stream

COVERAGE = 0.9
"""How often a set is meant to hold the right class."""

_TIE = 1e-5
"""Probabilities that are nearer to each other than this may change places: votes have few values, and drawing lots
among equal ones is what keeps their sets from being larger than need be."""


@dataclass(frozen=True)
class ConformalSets:
    """A rule that makes sets of classes from probabilities.

    Split conformal prediction with the score 1 - p of the right class: Sadinle, Lei and Wasserman, Least Ambiguous
    Set-Valued Classifiers with Bounded Error Levels, JASA 2019, arXiv:1609.00451. A class is in the set if its
    probability is not less than the floor((n + 1) (1 - coverage))-th smallest that n labelled images gave their right
    class. The promise holds on average over queries that are drawn as those images were, for no class or image by
    itself, and not where queries are of other classes or images. Here the images were scored by a state that did not
    see them, and queries by one that did.

    Attributes
    ----------
    threshold : float
    """

    threshold: float

    @staticmethod
    def of(own: Tensor, rng: Stream, *, coverage: float = COVERAGE) -> ConformalSets | None:
        """Return the rule by the probabilities [n] of the right class; None for so few images that all would be in.

        Parameters
        ----------
        rng : Stream
            Draws the lots among equal probabilities.
        """
        place = math.floor((len(own) + 1) * (1 - coverage) + 1e-9)
        if place < 1:
            return None
        return ConformalSets(float((own.double().cpu() + _TIE * _lots(len(own), rng)).sort().values[place - 1]))

    def lots(self, n: int, rng: Stream) -> Tensor:
        """Return what is added to the probabilities of each of n queries, float64 [n]."""
        return _TIE * _lots(n, rng)

    def sizes(self, probabilities: Tensor, lots: Tensor) -> Tensor:
        """Return how many classes are in the set of each query, int64 [q]: that many of the likeliest; it may be 0.

        Parameters
        ----------
        probabilities : Tensor [q, c]
            A class that cannot be answered has 0 and is in no set.
        lots : Tensor [q]
            Those queries' of :meth:`lots`.
        """
        enough = probabilities >= (self.threshold - lots.to(probabilities)).unsqueeze(1)
        return (enough & (probabilities > 0)).sum(1)


def _lots(n: int, rng: Stream) -> Tensor:
    return torch.from_numpy(rng.numpy().random(n))
