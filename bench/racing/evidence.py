"""Evidence that one classifier is better than another, which holds however often it is looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln


def log_evidence(wins: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the evidence that the first of two classifiers is better, from images one of them gets.

    It is the wealth of someone who bets on each image that only one of the two answers rightly, a fraction of the
    wealth that is drawn uniformly from 0 to 1, averaged over the fraction: with w wins, l losses and n = w + l,

        e = 2 * integral from 1/2 to 1 of 2^n p^w (1 - p)^l dp.

    While the first is no better, in that its chance of being the one that is right is at most a half whatever came
    before, e is a nonnegative supermartingale that begins at 1, so the probability that it ever reaches 1/a is at most
    a (Ville, 1939). Waudby-Smith and Ramdas, Estimating Means of Bounded Random Variables by Betting, JRSS B 86, 2024,
    arXiv:2010.09686; the mixture is that of Robbins, 1970.
    """
    w, lost = np.asarray(wins, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    with np.errstate(divide="ignore"):
        upper = np.log(betainc(lost + 1, w + 1, 0.5))
    found: NDArray[np.float64] = (w + lost + 1) * np.log(2) + betaln(w + 1, lost + 1) + upper
    return found


def log_threshold(candidates: int, alpha: float) -> float:
    """Return what the evidence of any of all ordered pairs must reach, so that all are wrong with probability alpha."""
    return float(np.log(max(1, candidates * (candidates - 1)) / alpha))
