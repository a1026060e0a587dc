"""How far the leaks that an audit found bound those that it did not."""

from __future__ import annotations

from scipy import stats

from bench.reports.forms.limits import share_limits
from bench.utils.errors import BenchError

ALPHA = 0.05


def unseen_leaks(found: int, queries: int, recalled: int, planted: int, *, alpha: float = ALPHA) -> float:
    """Return an upper bound, at 1 - alpha, of the share of queries with a leak that the audit did not find.

    If a share p of the queries has a leak and the audit finds each with recall r, it finds p r of all, and misses
    p (1 - r). With an upper limit F of the share found and a lower limit R of the recall, each by Clopper and Pearson
    at alpha / 3 on one side, at most F (1 - R) / R is missed on average, and of these queries the binomial quantile of
    that share at 1 - alpha / 3. False alarms only make F larger. It holds for leaks of the kind that was planted: it
    says nothing of any other.

    Parameters
    ----------
    found, queries : int
        Queries that the audit flags, of how many.
    recalled, planted : int
        Planted leaks of that kind that it found, of how many.

    Returns
    -------
    float
        1 where the recall may be 0.

    Raises
    ------
    BenchError
        For a part that is more than its whole, or a whole of nothing.
    """
    for part, whole, what in ((found, queries, "queries"), (recalled, planted, "planted leaks")):
        if not 0 <= part <= whole or whole < 1:
            raise BenchError(f"{part} of {whole} {what} cannot be: the first lies between 0 and the second")
    each = alpha / 3
    most = float(share_limits(found, queries, 2 * each)[1])
    recall = float(share_limits(recalled, planted, 2 * each)[0])
    if recall <= 0:
        return 1.0
    rate = min(1.0, most * (1 - recall) / recall)
    return float(stats.binom.ppf(1 - each, queries, rate)) / queries
