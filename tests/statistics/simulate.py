"""Simulations of the statistics; run as `python -m tests.statistics.simulate` for the table in docs/statistics.md.

A query q has an easiness drawn from Beta(2, 0.6), a seed s shifts all of them by a normal draw, and an answer is right
with the clipped sum as its chance. The target is the mean over all seeds and all queries, known to four digits.
"""

import time
from itertools import combinations

import numpy as np

from bench.reports.statistics.bootstrap import Sample, resampled_means
from bench.reports.statistics.intervals import Spread, estimate, t_interval
from bench.reports.statistics.paired_tests import holm, seeds_to_settle

_POPULATION = 1_000_000


def _answers(rng, shape, easiness, shifts):
    return (rng.random(shape) < np.clip(easiness + shifts, 0, 1)).astype(np.float64)


def _truth(spread):
    rng = np.random.default_rng(99)
    easiness = rng.beta(2, 0.6, _POPULATION)
    return float(np.clip(easiness + rng.normal(0, spread, _POPULATION), 0, 1).mean())


def coverage(*, seeds, queries, spread, repetitions, shared=True, over_seeds_alone=False):
    """Return how often the 95 % interval holds the target."""
    rng, truth, hits = np.random.default_rng(seeds), _truth(spread), 0
    for _ in range(repetitions):
        easiness = rng.beta(2, 0.6, (1 if shared else seeds, queries))
        y = _answers(rng, (seeds, queries), easiness, rng.normal(0, spread, (seeds, 1)))
        if over_seeds_alone:
            low, high = t_interval(y.mean(1))
        else:
            e = estimate(list(y), shared=shared)
            low, high = e.low, e.high
        hits += low <= truth <= high
    return hits / repetitions


def episode_coverage(*, seeds, episodes, ratio, repetitions):
    """Return how often the 95 % interval over episodes holds the mean.

    An episode's accuracy is a share of 75 queries whose chance varies from episode to episode; the standard deviation
    of seeds is ``ratio`` times the standard error of one seed's mean, so that at 1 both add as much.
    """
    rng, hits = np.random.default_rng([seeds, episodes]), 0
    own = np.sqrt(0.7 * 0.3 / 75 + 0.08**2 * 74 / 75)
    for _ in range(repetitions):
        chance = 0.7 + rng.normal(0, 0.08, (seeds, episodes))
        chance = chance + rng.normal(0, ratio * own / np.sqrt(episodes), (seeds, 1))
        e = estimate(list(rng.binomial(75, np.clip(chance, 0, 1)) / 75), shared=False, episodes=True)
        hits += e.low <= 0.7 <= e.high
    return hits / repetitions


def false_positives(*, methods, seeds, queries, repetitions):
    """Return how often any pair of equal methods is called different after Holm's correction."""
    rng, wrong = np.random.default_rng(5), 0
    for _ in range(repetitions):
        easiness = rng.beta(2, 0.6, (1, queries))
        # Each method has its own queries that it finds hard, drawn alike for all methods.
        own = easiness + rng.normal(0, 0.1, (methods, 1, queries)) + rng.normal(0, 0.01, (methods, seeds, 1))
        y = (rng.random((methods, seeds, queries)) < np.clip(own, 0, 1)).astype(np.float64)
        pairs = combinations(range(methods), 2)
        wrong += (holm([estimate(list(y[a] - y[b]), shared=True).p for a, b in pairs]) < 0.05).any()
    return wrong / repetitions


def promised_power(*, repetitions, difference=0.02):
    """Return how often a true difference is found with the number of seeds that promises 80 %."""
    spread, queries = Spread(seeds=0.0002, queries=0.01, rest=0.05), 1000
    seeds = seeds_to_settle(difference, spread, queries)
    rng, found = np.random.default_rng(6), 0
    for _ in range(repetitions):
        d = difference + rng.normal(0, spread.seeds**0.5, (seeds, 1)) + rng.normal(0, spread.queries**0.5, queries)
        d = d + rng.normal(0, spread.rest**0.5, (seeds, queries))
        found += estimate(list(d), shared=True).p < 0.05
    return found / repetitions


def bootstrap_seconds():
    """Return the seconds that the largest bootstrap the report is meant for takes on this machine."""
    rng = np.random.default_rng(0)
    sample = Sample("speed", tuple(rng.random((10, 50_000)) < 0.7 for _ in range(5)), True)
    start = time.perf_counter()
    resampled_means(sample, 10_000)
    return time.perf_counter() - start


def main():
    for spread in (0.0, 0.005, 0.02):
        for seeds in (3, 5, 10):
            shared = coverage(seeds=seeds, queries=400, spread=spread, repetitions=4000)
            own = coverage(seeds=seeds, queries=400, spread=spread, repetitions=4000, shared=False)
            alone = coverage(seeds=seeds, queries=400, spread=spread, repetitions=4000, over_seeds_alone=True)
            print(f"sd of seeds {spread}, {seeds} seeds: shared {shared:.3f}, own {own:.3f}, seeds alone {alone:.3f}")
    for ratio in (0, 0.5, 1, 2):
        for seeds in (1, 3, 5, 10):
            if seeds > 1 or ratio == 0:
                covered = episode_coverage(seeds=seeds, episodes=600, ratio=ratio, repetitions=4000)
                print(f"600 episodes, seeds add {ratio} of a seed's error, {seeds} seeds: {covered:.3f}")
    for seeds in (3, 5, 10):
        print(
            f"false positives, {seeds} seeds:", false_positives(methods=5, seeds=seeds, queries=400, repetitions=2000)
        )
    print(f"power promised 0.8, found {promised_power(repetitions=2000):.3f}")
    print(f"10,000 resamples of 10 methods x 5 seeds x 50,000 shared queries: {bootstrap_seconds():.1f} s")


if __name__ == "__main__":
    main()
