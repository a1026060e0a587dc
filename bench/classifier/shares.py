"""The interval of a share of right answers."""

from __future__ import annotations

from scipy import special


def share_limits(right: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact limits of the share of which ``right`` of ``total`` images were seen, from 0 to 1.

    Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika
    1934: quantiles of the beta distribution.
    """
    tail = (1 - level) / 2
    low = float(special.betaincinv(right, total - right + 1, tail)) if right else 0.0
    high = float(special.betaincinv(right + 1, total - right, 1 - tail)) if right < total else 1.0
    return low, high
