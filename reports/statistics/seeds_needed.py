"""Seeds needed: how many would find a difference like the one that was seen, and how sure that number is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.reports.statistics.estimates import Estimate

POWER = 0.8
_MOST = 1000

SHOWS_SOMETHING = 0.2
"""P-value above which there is no difference to plan for."""


@dataclass(frozen=True)
class SeedsNeeded:
    """The number of seeds and its 95 % limits; None stands for more than a thousand, which no more seeds may help."""

    number: int | None
    low: int | None
    high: int | None

    def __str__(self) -> str:
        """Return it for a table."""
        number, low, high = (f"> {_MOST}" if n is None else str(n) for n in (self.number, self.low, self.high))
        return number if low == high else f"{number} [{low}, {high}]"


def seeds_needed(d: Estimate, level: float = 0.05) -> SeedsNeeded | None:
    """Return the seeds at which a true difference of this size is found at a level with 80 % power.

    The least S with |d| >= K(S) + z_{.80} sqrt(V_units + s^2 / S), where K(S)^2 = z^2 V_units + t_{S-1}^2 s^2 / S is
    the half-width to expect, z and t being those of the level: what Holm's correction leaves of 5 %. The variance
    between the S_0 seeds that were run is known up to chi-square: s^2 (S_0 - 1) over its median gives the number, over
    its 97.5 % and 2.5 % quantiles its limits. They hold for the difference that was seen; a smaller one needs more.
    S_0 seeds were not enough, so none of the three is less than S_0 + 1.

    Nothing is returned for one seed and where the p-value is above 0.2: there is no difference to plan for.
    """
    if d.n_seeds < 2 or d.mean == 0 or not d.p < SHOWS_SOMETHING:
        return None
    df = d.n_seeds - 1
    spread = d.from_seeds + d.rest
    number, low, high = (
        _least(abs(d.mean), d.from_units, spread * df / float(special.chdtri(df, 1 - quantile)), d.n_seeds + 1, level)
        for quantile in (0.5, 0.975, 0.025)
    )
    return SeedsNeeded(number, low, high)


def _least(difference: float, units: float, spread: float, first: int, level: float) -> int | None:
    s = np.arange(first, _MOST + 1)
    z = float(special.ndtri(1 - level / 2))
    half = np.sqrt(z * z * units + special.stdtrit(s - 1, 1 - level / 2) ** 2 * spread / s)
    enough = difference >= half + special.ndtri(POWER) * np.sqrt(units + spread / s)
    return int(s[enough.argmax()]) if enough.any() else None
