"""Families of comparisons: which belong together, their correction, and what they could have decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.reports.statistics.estimates import Estimate

ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Family:
    """Comparisons that are corrected together: those of one table.

    Attributes
    ----------
    of : tuple of str
        Scenario, data set and condition.
    baseline : str or None
        The method that all others are compared with; None for all pairs.
    size : int
        Number of comparisons.
    decidable : bool
        Whether any of them could have been decided with this many seeds and queries, had the methods differed by
        everything.
    """

    of: tuple[str, str, str]
    baseline: str | None
    size: int
    decidable: bool

    @property
    def words(self) -> str:
        """What it is, for a caption."""
        return families_in_words([self])


def families_in_words(families: Iterable[Family]) -> str:
    """Return what some families of one report are, for a caption: their sizes, their kind and the correction."""
    sizes: dict[str, set[int]] = {}
    for one in families:
        sizes.setdefault(f"against {one.baseline}" if one.baseline else "all pairs", set()).add(one.size)
    kinds = []
    for what, numbers in sizes.items():
        pairs = " or ".join(map(str, sorted(numbers)))
        kinds.append(f"{pairs} {'comparison' if numbers == {1} else 'comparisons'} ({what})")
    return f"{' or '.join(kinds)}, corrected by Holm"


def family(of: tuple[str, str, str], baseline: str | None, differences: Sequence[Estimate]) -> Family:
    """Return the family of some comparisons of one table."""
    least = min((least_p(d) for d in differences), default=1.0)
    return Family(of=of, baseline=baseline, size=len(differences), decidable=least * len(differences) < ALPHA)


def least_p(d: Estimate) -> float:
    """Return the least p-value that a difference of 100 points could have had in a comparison like this."""
    if d.n_seeds == 1:
        return float(2.0 ** (1 - min(d.n_units, 1000)))
    error = np.sqrt(d.from_units + (d.from_seeds + d.rest) / d.n_seeds)
    return float(2 * special.stdtr(d.n_seeds - 1, -1 / error)) if error > 0 else 0.0


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p-values after Holm's step-down correction; NaN stays NaN and does not count.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    out = values.copy()
    given = np.flatnonzero(~np.isnan(values))
    order = given[np.argsort(values[given], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(1, np.maximum.accumulate(values[order] * factors))
    return out


class _Compared(Protocol):
    """A comparison of a family over some seeds."""

    @property
    def family(self) -> Family: ...

    @property
    def seeds(self) -> tuple[int, ...]: ...


def undecidable(comparisons: Iterable[_Compared]) -> Iterator[str]:
    """Yield a line for the families that no result could have decided."""
    families = {c.family.of: (c.family, len(c.seeds)) for c in comparisons}
    lost = [(family, seeds) for family, seeds in families.values() if not family.decidable]
    by_size: dict[tuple[str, int], list[str]] = {}
    for family, seeds in lost:
        by_size.setdefault((family.words, seeds), []).append(f"{family.of[0]} on {family.of[1]}")
    for (words, seeds), places in by_size.items():
        yield (
            f"no comparison of {', '.join(dict.fromkeys(places))} could be decided with {seeds} "
            f"seed{'s' * (seeds > 1)}, "
            f"whatever the difference: {words}; run more seeds, or name the comparisons that matter with `--baseline`"
        )
