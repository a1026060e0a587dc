"""Signed-rank test over data sets with a region of practical equivalence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.reports.utils.random import generator

_DRAWS = 10_000
_PRIOR = 0.5
"""Weight of one difference of 0 that is thought added; a data set weighs 1."""


@dataclass(frozen=True)
class SignedRank:
    """Posterior chances that a is worse by more than the region, equal within it, and better, on a new data set."""

    worse: float
    equal: float
    better: float


def signed_rank(differences: ArrayLike, region: float, name: str) -> SignedRank:
    """Return the posterior of the Bayesian signed-rank test of differences [n], one a data set.

    Weights of the differences and of one of 0 are drawn from a Dirichlet distribution; in each draw the mean of two
    differences taken by these weights is below, within or above the region, and the largest of the three counts.
    Benavoli, Corani, Demsar and Zaffalon, Time for a change: a tutorial for comparing multiple classifiers through
    Bayesian analysis, JMLR 2017, arXiv:1606.04316, section 4.2. ``name`` names the stream of draws.
    """
    d = np.concatenate([[0.0], np.asarray(differences, dtype=np.float64)])
    weights = generator("signed-rank", name).dirichlet([_PRIOR, *np.ones(len(d) - 1)], _DRAWS)
    means = (d[:, None] + d) / 2
    regions = np.stack([means < -region, np.abs(means) <= region, means > region]).astype(np.float64)
    shares = np.einsum("bi,rij,bj->br", weights, regions, weights, optimize=True)
    worse, equal, better = (np.bincount(shares.argmax(1), minlength=3) / _DRAWS).tolist()
    return SignedRank(worse, equal, better)
