"""Simulations of known truth through the estimators of the report; ``simulate`` prints them as a table."""

from itertools import combinations

import numpy as np

from bench.reports.forms.intervals import (
    Components,
    apart,
    bounds,
    crossed,
    normal_quantile,
    p_value,
    student_quantile,
)
from bench.reports.forms.limits import share_limits
from bench.reports.metrics import per_query
from bench.reports.metrics.calibration import calibration_bounds, calibration_error
from bench.reports.metrics.influence import of_answers
from bench.reports.records.paired_predictions import History, PairedPredictions
from bench.reports.statistics.designs import SEEDS
from bench.reports.statistics.estimates import Design, estimate, in_families, stacked
from bench.reports.statistics.families import holm
from bench.reports.statistics.skewed_t import skewed_t

SHARED = Design(shared=True, overlap=0.0, over=SEEDS)
REGION = 0.01
LARGEST = 4_000_000
"""Answers that are drawn at once."""


def portions(repetitions, answers):
    """Yield repetitions in portions of at most :data:`LARGEST` answers, `answers` being those of one repetition."""
    at_once = max(1, LARGEST // answers)
    for start in range(0, repetitions, at_once):
        yield min(at_once, repetitions - start)


def _of(values, *, own=False, difference=False):
    """Components of plain means of answers [r, s, q], as `components` makes them of one after the other."""
    q = values.shape[-1]
    means = values.mean(-1)
    moves = (values - means[..., None]) / np.sqrt(q * (q - 1))
    shares = {
        "gained": (values > 0).mean((-2, -1)),
        "lost": (values < 0).mean((-2, -1)) if difference else np.zeros(len(values)),
        "units": np.full(len(values), float(q)),
    }
    return apart(means, np.square(moves).sum(-1), **shares) if own else crossed(means, moves, **shares)


def answers(rng, repetitions, seeds, queries, accuracy, sd, own=False):
    """Answers [r, s, q] and their true mean: easiness from a beta distribution, shifted seed by seed."""
    shape = (repetitions, seeds if own else 1, queries)
    easiness = rng.beta(2 * accuracy, 2 * (1 - accuracy), shape)
    right = rng.random((repetitions, seeds, queries)) < easiness + rng.normal(0, sd, (repetitions, seeds, 1))
    many = rng.beta(2 * accuracy, 2 * (1 - accuracy), 200_000)
    truth = accuracy if sd == 0 else np.clip(many + rng.normal(0, sd, len(many)), 0, 1).mean()
    return right.astype(np.float64), truth


def accuracy(*, seeds, queries, accuracy, sd=0.0, own=False, repetitions):
    """Return how often the interval of accuracy covers, and how wide it is.

    The mean width is given as a multiple of that of Student's t with seeds - 1 degrees of freedom, of the interval
    with the known standard deviation of the mean, and of Clopper and Pearson's for as many answers as there are
    queries.
    """
    rng = np.random.default_rng([seeds, queries])
    hits, wide, student, exact, means = 0, 0.0, 0.0, 0.0, []
    for some in portions(repetitions, seeds * queries):
        right, truth = answers(rng, some, seeds, queries, accuracy, sd, own)
        c = _of(right, own=own)
        low, high = (np.clip(side, 0, 1) for side in bounds(c, "share"))
        hits += ((low <= truth + 1e-12) & (truth - 1e-12 <= high)).sum()
        wide += (high - low).sum()
        n = queries * (seeds if own else 1)
        exact += np.subtract(*share_limits(c.mean * n, n)[::-1]).sum()
        means.append(c.mean)
        if seeds > 1:
            student += (2 * student_quantile(0.05, seeds - 1) * np.sqrt(c.from_units + c.from_seeds)).sum()
    known = 2 * normal_quantile(0.05) * np.concatenate(means).std() * repetitions
    return hits / repetitions, wide / student if student else np.nan, wide / known, wide / exact


def pair(rng, repetitions, seeds, queries, difference, sd, own=False, accuracy=0.8, flips=0.05):
    """Differences of answers [r, s, q] of two methods with the same hard queries; `sd` is that of the difference.

    The second method loses a share `flips` of the first one's right answers and gains as many others.
    """
    shape = (repetitions, seeds if own else 1, queries)
    easiness = rng.beta(8 * accuracy, 8 * (1 - accuracy), shape)
    shift = rng.normal(0, sd, (repetitions, seeds, 1))
    flip = rng.random((repetitions, seeds, queries))
    # The second method loses what the shift says on the queries that the first answers rightly.
    one = rng.random((repetitions, seeds, queries)) < easiness
    rate = (difference + shift) / accuracy
    two = np.where(one, flip >= flips + np.maximum(rate, 0), flip < flips * accuracy / (1 - accuracy))
    two = np.where(~one & (flip >= 1 - np.maximum(-rate, 0) * accuracy / (1 - accuracy)), True, two)
    return one.astype(np.int8) - two


def differences(*, seeds, queries, difference=0.0, sd=0.0, own=False, flips=0.05, repetitions):
    """Return coverage, P(p < .05), P(p < .005) and how often it is called equivalent."""
    rng = np.random.default_rng([seeds, queries, 7])
    found = np.zeros(4)
    for some in portions(repetitions, seeds * queries):
        d = pair(rng, some, seeds, queries, difference, sd, own, flips=flips)
        c = _of(d, own=own, difference=True)
        low, high = bounds(c, "difference")
        p = p_value(c, "difference")
        equal = (low > -REGION) & (high < REGION)
        found += [((low <= difference) & (difference <= high)).sum(), (p < 0.05).sum(), (p < 0.005).sum(), equal.sum()]
    return found / repetitions


def tail(*, seeds, ratio, repetitions):
    """Return P(p < a) / a for a = .05, .01, .005, .001: seeds' variance is `ratio` of that of the queries' mean."""
    rng = np.random.default_rng([seeds, round(100 * ratio)])
    queries, moved = 2000, 0.1
    units = moved / queries
    values = rng.normal(0, np.sqrt(units), (repetitions, 1)) + rng.normal(
        0, np.sqrt(ratio * units), (repetitions, seeds)
    )
    mean = values.mean(-1)
    n = np.full(repetitions, float(queries))
    c = Components(
        values=values,
        gained=(moved + mean) / 2,
        lost=(moved - mean) / 2,
        columns=np.full(repetitions, units),
        rest=np.zeros(repetitions),
        units=n,
        df=n - 1,
        shared=True,
    )
    p = p_value(c, "difference")
    return [float((p < a).mean() / a) for a in (0.05, 0.01, 0.005, 0.001)]


def family(*, methods, seeds, sd, queries=500, repetitions):
    """Return how often any of several equal methods is called different from another."""
    rng, wrong = np.random.default_rng([methods, seeds]), 0
    for some in portions(repetitions, methods * seeds * queries):
        easiness = rng.beta(4, 1, (some, 1, 1, queries))
        shift = rng.normal(0, sd / np.sqrt(2), (some, methods, seeds, 1))
        right = (rng.random((some, methods, seeds, queries)) < easiness + shift).astype(np.int8)
        pairs = combinations(range(methods), 2)
        c = stacked([_of(right[:, a] - right[:, b], difference=True) for a, b in pairs])
        corrected = [holm(p) for p in in_families(c, p_value(c, "difference"), "difference").T]
        wrong += int((np.min(corrected, axis=1) < 0.05).sum())
    return wrong / repetitions


def episode(rng, sizes, rate, wrong_to):
    """A cell of sessions in which classes arrive one by one, and their sessions; an answer has luck below `rate`."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    n, order = len(labels), rng.permutation(len(sizes))
    arrival = np.argsort(order) * 3 // len(sizes)
    luck = rng.random(n)
    parts = []
    for session in range(3):
        there = np.flatnonzero(arrival[labels] <= session)
        right = 0.5 * luck[there] + 0.5 * rng.random(len(there)) < rate(labels[there], session - arrival[labels[there]])
        parts.append((np.full(len(there), session), there, labels[there], right))
    history = History(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    right = parts[-1][3]
    guesses = np.where(right, labels, (labels + wrong_to) % len(sizes))
    ids = np.array([f"{i:06}" for i in range(n)], dtype=object)
    ranks, sets = np.where(right, 0, 5), np.full(n, np.nan)
    return PairedPredictions(ids, labels, guesses, right, np.ones(n), ranks, sets, "f", history=history), arrival


SCORES = {
    "recall": (per_query.recall, "share"),
    "macro-F1": (per_query.f1, "share"),
    "avg inc": (per_query.average_incremental, "share"),
    "forgetting": (per_query.forgetting, "difference"),
}


def true_scores(chance, sizes, arrival):
    """Return what endless queries would give, classes having these shares: chance [sessions, classes] of an answer."""
    sizes, last = np.asarray(sizes, dtype=np.float64), chance[-1]
    earlier = arrival < len(chance) - 1
    named = sizes * last + np.roll(sizes * (1 - last), 1)
    there = arrival <= np.arange(len(chance))[:, None]
    return {
        "recall": last.mean(),
        "macro-F1": (2 * sizes * last / (sizes + named)).mean(),
        "avg inc": ((chance * sizes * there).sum(1) / (sizes * there).sum(1)).mean(),
        "forgetting": (chance[arrival, np.arange(len(sizes))] - last)[earlier].mean(),
    }


def scores(*, seeds, sizes, ages, repetitions):
    """Return the coverage of each score of a class-incremental run.

    The truth of several seeds is the mean over orders of classes, that of one seed is about its own order.
    """
    rng = np.random.default_rng([seeds, *sizes])
    numbers = np.arange(len(sizes))

    def chance(labels, age):
        # Classes differ by up to ten points.
        return np.asarray(ages)[np.minimum(age, len(ages) - 1)] - 0.1 * (labels % 5) / 4

    def rate(labels, age):
        # The mean of two uniform numbers is below x with chance 2 x^2 (x < 1/2) or 1 - 2 (1 - x)^2.
        x = chance(labels, age)
        return np.where(x < 0.5, np.sqrt(x / 2), 1 - np.sqrt(np.maximum(1 - x, 0) / 2))

    def truth(arrival):
        by_session = np.stack([chance(numbers, np.maximum(session - arrival, 0)) for session in range(3)])
        return true_scores(by_session, sizes, arrival)

    drawn = [truth(rng.permutation(len(sizes)) * 3 // len(sizes)) for _ in range(20_000 if seeds > 1 else 1)]
    known = {name: float(np.mean([one[name] for one in drawn])) for name in SCORES}
    hits = dict.fromkeys(SCORES, 0)
    for _ in range(repetitions):
        runs, arrivals = zip(*(episode(rng, sizes, rate, 1) for _ in range(seeds)), strict=True)
        if seeds == 1:
            known = truth(arrivals[0])
        for name, (score, kind) in SCORES.items():
            e = estimate([score(run) for run in runs], SHARED, kind)
            hits[name] += e.low - 1e-9 <= known[name] <= e.high + 1e-9
    return {name: count / repetitions for name, count in hits.items()}


def splits(*, seeds, repetitions, classes=60, tested=20, each=20):
    """Return the coverage for new classes where seeds test overlapping parts of a data set's classes."""
    rng, hits = np.random.default_rng(seeds), 0
    ids = np.arange(classes * each).reshape(classes, each)
    for _ in range(repetitions):
        chance = np.clip(rng.normal(0.7, 0.15, classes), 0, 1)
        right = (rng.random((classes, each)) < chance[:, None]).astype(np.float64)
        parts = [rng.permutation(classes)[:tested] for _ in range(seeds)]
        pairs = [len(np.intersect1d(ids[a], ids[b])) / ids[a].size for a, b in combinations(parts, 2)]
        design = Design(shared=False, overlap=float(np.mean(pairs)), over="new classes like these")
        e = estimate([of_answers(right[part].ravel()) for part in parts], design, "share")
        hits += e.low <= 0.6995 <= e.high
    return hits / repetitions


def clusters(*, seeds, copies, repetitions, queries=60):
    """Return coverage where each query is there several times and these are one cluster."""
    rng, hits = np.random.default_rng([seeds, copies]), 0
    which = np.repeat(np.arange(queries), copies)
    for _ in range(repetitions):
        easiness = rng.beta(1.6, 0.4, queries)
        runs = [(rng.random(queries) < easiness).astype(np.float64)[which] for _ in range(seeds)]
        e = estimate([of_answers(right).clustered(which) for right in runs], SHARED, "share")
        hits += e.low <= 0.8 <= e.high
    return hits / repetitions


def episodes(*, seeds, number, ratio, repetitions):
    """Return coverage over few-shot episodes of 75 queries; `ratio` is the seeds' sd in standard errors of a mean."""
    rng, hits = np.random.default_rng([seeds, number]), 0
    design = Design(shared=False, overlap=0.0, over="new episodes")
    own = np.sqrt(0.7 * 0.3 / 75 + 0.08**2 * 74 / 75)
    for _ in range(repetitions):
        chance = 0.7 + rng.normal(0, 0.08, (seeds, number)) + rng.normal(0, ratio * own / np.sqrt(number), (seeds, 1))
        right = rng.binomial(75, np.clip(chance, 0, 1)) / 75
        e = estimate([of_answers(y) for y in right], design, "share")
        hits += e.low <= 0.7 <= e.high
    return hits / repetitions


def calibration(*, seeds, queries, gap, repetitions):
    """Return coverage of the calibration error and the mean estimate; confidences are `gap` of themselves too high."""
    rng, hits, total = np.random.default_rng([seeds, queries]), 0, 0.0
    truth = gap * 0.75
    for _ in range(repetitions):
        confidence = rng.beta(3, 1, queries)
        runs = [(rng.random(queries) < confidence * (1 - gap), confidence) for _ in range(seeds)]
        low, high = calibration_bounds(runs, shared=True)
        hits += low <= truth + 1e-9 and truth - 1e-9 <= high
        total += float(np.mean([calibration_error(*run) for run in runs])) / repetitions
    return hits / repetitions, total


def over_datasets(*, n, kind, repetitions):
    """Return the coverage of the mean over n data sets."""
    rng = np.random.default_rng(n)
    x, mean = {
        "normal": (rng.normal(0, 1, (repetitions, n)), 0.0),
        "exponential": (rng.exponential(1, (repetitions, n)), 1.0),
        "lognormal": (np.exp(rng.normal(0, 1, (repetitions, n))), np.exp(0.5)),
    }[kind]
    low, high, _ = skewed_t(x)
    return ((low <= mean) & (mean <= high)).mean()
