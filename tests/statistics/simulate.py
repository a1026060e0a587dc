"""Simulations of known truth through the estimators of the report.

python -m tests.statistics.simulate            # prints the table; minutes on one core
python -m tests.statistics.simulate --write    # and puts it into docs/statistics.md
"""

import argparse
import re
from itertools import combinations
from pathlib import Path

import numpy as np

from bench.reports.forms.intervals import Components, apart, bounds, crossed, p_value, student_quantile
from bench.reports.metrics import per_query
from bench.reports.metrics.calibration import calibration_bounds, calibration_error
from bench.reports.metrics.influence import of_answers
from bench.reports.records.paired_predictions import History, PairedPredictions
from bench.reports.statistics.designs import SEEDS
from bench.reports.statistics.estimates import Design, estimate, estimates
from bench.reports.statistics.families import holm
from bench.reports.statistics.skewed_t import skewed_t

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
BLOCK = re.compile(r"(<!-- measured by tests\.statistics\.simulate -->\n).*?(<!-- end -->)", re.S)
SHARED = Design(shared=True, overlap=0.0, over=SEEDS)
REGION = 0.01


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


def _draws(repetitions):
    """How many draws tell a tail of p."""
    return 200_000 if repetitions >= 1000 else 20_000


def answers(rng, repetitions, seeds, queries, accuracy, sd, own=False):
    """Answers [r, s, q] and their true mean: easiness from a beta distribution, shifted seed by seed."""
    shape = (repetitions, seeds if own else 1, queries)
    easiness = rng.beta(2 * accuracy, 2 * (1 - accuracy), shape)
    right = rng.random((repetitions, seeds, queries)) < easiness + rng.normal(0, sd, (repetitions, seeds, 1))
    many = rng.beta(2 * accuracy, 2 * (1 - accuracy), 200_000)
    truth = accuracy if sd == 0 else np.clip(many + rng.normal(0, sd, len(many)), 0, 1).mean()
    return right.astype(np.float64), truth


def accuracy(*, seeds, queries, accuracy, sd=0.0, own=False, repetitions):
    """Return how often the interval of accuracy covers, and its mean width in that of Student's t with s - 1."""
    rng = np.random.default_rng([seeds, queries])
    right, truth = answers(rng, repetitions, seeds, queries, accuracy, sd, own)
    c = _of(right, own=own)
    low, high = (np.clip(side, 0, 1) for side in bounds(c, "share"))
    wide = np.nan
    if seeds > 1:
        wide = (high - low).mean() / (
            2 * student_quantile(0.05, seeds - 1) * np.sqrt(c.from_units + c.from_seeds)
        ).mean()
    return ((low <= truth + 1e-12) & (truth - 1e-12 <= high)).mean(), wide


def pair(rng, repetitions, seeds, queries, difference, sd, own=False, accuracy=0.8):
    """Differences of answers [r, s, q] of two methods with the same hard queries; `sd` is that of the difference."""
    shape = (repetitions, seeds if own else 1, queries)
    easiness = rng.beta(8 * accuracy, 8 * (1 - accuracy), shape)
    shift = rng.normal(0, sd, (repetitions, seeds, 1))
    flip = rng.random((repetitions, seeds, queries))
    # The second method loses what the shift says on the queries that the first answers rightly.
    one = rng.random((repetitions, seeds, queries)) < easiness
    rate = (difference + shift) / accuracy
    two = np.where(one, flip >= 0.05 + np.maximum(rate, 0), flip < 0.05 * accuracy / (1 - accuracy))
    two = np.where(~one & (flip >= 1 - np.maximum(-rate, 0) * accuracy / (1 - accuracy)), True, two)
    return one.astype(np.int8) - two


def differences(*, seeds, queries, difference=0.0, sd=0.0, own=False, repetitions):
    """Return coverage, P(p < .05), P(p < .005) and how often it is called equivalent."""
    rng = np.random.default_rng([seeds, queries, 7])
    d = pair(rng, repetitions, seeds, queries, difference, sd, own)
    c = _of(d, own=own, difference=True)
    low, high = bounds(c, "difference")
    p = p_value(c, "difference")
    covered = ((low <= difference) & (difference <= high)).mean()
    return covered, (p < 0.05).mean(), (p < 0.005).mean(), ((low > -REGION) & (high < REGION)).mean()


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
    for _ in range(repetitions):
        easiness = rng.beta(4, 1, queries)
        right = rng.random((methods, seeds, queries)) < easiness + rng.normal(0, sd / np.sqrt(2), (methods, seeds, 1))
        each = [[of_answers(y) for y in of.astype(np.float64)] for of in right]
        pairs = [
            [x.minus(y) for x, y in zip(each[a], each[b], strict=True)] for a, b in combinations(range(methods), 2)
        ]
        found = estimates(pairs, SHARED, "difference")
        wrong += bool((holm([e.p_holm_input for e in found]) < 0.05).any())
    return wrong / repetitions


def episode(rng, sizes, rate, wrong_to):
    """A cell of sessions in which classes arrive one by one; a class is answered rightly at `rate(age)`."""
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
    return PairedPredictions(ids, labels, guesses, right, right, np.ones(n), "f", history=history)


SCORES = {
    "recall": (per_query.recall, "share"),
    "macro-F1": (per_query.f1, "share"),
    "avg inc": (per_query.average_incremental, "share"),
    "forgetting": (per_query.forgetting, "difference"),
}


def scores(*, seeds, sizes, ages, repetitions):
    """Return the coverage of each score of a class-incremental run; the truth is the mean of 4000 other seeds."""
    rng = np.random.default_rng([seeds, *sizes])

    def rate(labels, age):
        # What is right with chance r has luck below it; classes differ by up to ten points.
        chance = np.asarray(ages)[np.minimum(age, len(ages) - 1)] - 0.1 * (labels % 5) / 4
        # The mean of two uniform numbers is below x with chance 2 x^2 (x < 1/2) or 1 - 2 (1 - x)^2.
        return np.where(chance < 0.5, np.sqrt(chance / 2), 1 - np.sqrt(np.maximum(1 - chance, 0) / 2))

    def found():
        runs = [episode(rng, sizes, rate, 1) for _ in range(seeds)]
        return {name: ([score(run) for run in runs], kind) for name, (score, kind) in SCORES.items()}

    truth = dict.fromkeys(SCORES, 0.0)
    rounds = max(60, 50_000 // sum(sizes))
    for _ in range(rounds):
        # Average incremental accuracy depends on the sizes of classes, so classes keep theirs, forty times as large.
        run = episode(rng, tuple(40 * s for s in sizes), rate, 1)
        for name, (score, _) in SCORES.items():
            truth[name] += score(run).value / rounds
    hits = dict.fromkeys(SCORES, 0)
    for _ in range(repetitions):
        for name, (samples, kind) in found().items():
            e = estimate(samples, SHARED, kind)
            hits[name] += e.low <= truth[name] <= e.high
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


def _percent(value):
    return f"{100 * value:.1f}"


def report(repetitions):
    """Yield the lines of the measured table."""
    error = 100 * np.sqrt(0.95 * 0.05 / repetitions)
    draws = _draws(repetitions)
    yield f"{repetitions} repetitions a number, a standard error of {error:.1f} points; {draws:,} for tails of p."
    yield ""
    yield "Accuracy, coverage % (width over that of Student's t with seeds - 1 degrees of freedom):"
    yield ""
    yield "| seeds | queries | accuracy % | seeds' sd | shared queries | own queries |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for seeds in (1, 2, 3, 5, 10, 20):
        for queries, rate in ((50, 0.8), (50, 0.97), (50, 0.995), (400, 0.8), (400, 0.97), (400, 0.995), (2000, 0.8)):
            for sd in (0.0, 0.01, 0.03) if seeds > 1 else (0.0,):
                cells = []
                for own in (False, True):
                    if (queries == 2000 and own) or (seeds == 1 and own):
                        cells.append("")
                        continue
                    few = min(repetitions, max(200, 4_000_000 // (seeds * queries)))
                    covered, wide = accuracy(
                        seeds=seeds, queries=queries, accuracy=rate, sd=sd, own=own, repetitions=few
                    )
                    cells.append(_percent(covered) + (f" ({wide:.2f})" if seeds > 1 else ""))
                yield f"| {seeds} | {queries} | {100 * rate:g} | {100 * sd:g} | {cells[0]} | {cells[1]} |"
    yield ""
    yield "Differences of two methods:"
    yield ""
    yield "| seeds | queries | true difference | seeds' sd | coverage % | P(p < .05) % | P(p < .005) % | equivalent % |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for seeds in (1, 2, 3, 5, 10):
        for queries in (50, 400, 2000):
            for gap in (0.0, 0.01):
                for sd in (0.0, 0.03) if seeds > 1 else (0.0,):
                    few = min(repetitions, max(200, 4_000_000 // (seeds * queries)))
                    covered, five, half, equal = differences(
                        seeds=seeds, queries=queries, difference=gap, sd=sd, repetitions=few
                    )
                    tests = f"{_percent(five)} | {_percent(half)}" if gap == 0 else " | "
                    yield (
                        f"| {seeds} | {queries} | {100 * gap:g} | {100 * sd:g} | {_percent(covered)} | {tests} | "
                        f"{_percent(equal)} |"
                    )
    yield ""
    yield "P(p < a) / a without a difference, seeds' variance as a multiple of that of the queries' mean:"
    yield ""
    yield "| seeds | variance | a = .05 | .01 | .005 | .001 |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for seeds in (3, 5, 10):
        for ratio in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0):
            found = tail(seeds=seeds, ratio=ratio, repetitions=_draws(repetitions))
            yield f"| {seeds} | {ratio:g} | " + " | ".join(f"{x:.2f}" for x in found) + " |"
    yield ""
    yield "Any false difference after Holm, 500 queries:"
    yield ""
    yield "| methods | seeds | seeds' sd | % |"
    yield "| --- | --- | --- | --- |"
    for methods in (5, 10):
        for seeds in (3, 5, 10):
            for sd in (0.0, 0.014, 0.03):
                few = max(200, repetitions // (4 if methods == 5 else 8))
                wrong = family(methods=methods, seeds=seeds, sd=sd, repetitions=few)
                yield f"| {methods} | {seeds} | {100 * sd:g} | {_percent(wrong)} |"
    yield ""
    yield "Scores of class-incremental runs, coverage %:"
    yield ""
    yield "| classes | seeds | " + " | ".join(SCORES) + " |"
    yield "| --- | --- |" + " --- |" * len(SCORES)
    designs = {
        "10 of 40 queries": ((40,) * 10, (0.9, 0.85, 0.8)),
        "10 of 40 queries, nothing forgotten": ((40,) * 10, (0.85,)),
        "10 of 8 queries, nothing forgotten": ((8,) * 10, (0.85,)),
        "10 of 400 to 2 queries": ((400, 200, 100, 60, 40, 20, 10, 5, 3, 2), (0.9, 0.85, 0.8)),
        "10 of 40 queries, 98 % right": ((40,) * 10, (0.99, 0.99, 0.98)),
    }
    for name, (sizes, ages) in designs.items():
        for seeds in (1, 3, 10):
            found = scores(seeds=seeds, sizes=sizes, ages=ages, repetitions=max(200, repetitions // 4))
            yield f"| {name} | {seeds} | " + " | ".join(_percent(found[score]) for score in SCORES) + " |"
    yield ""
    yield "Other designs, coverage %:"
    yield ""
    yield "| design | 3 seeds | 5 | 10 | 20 |"
    yield "| --- | --- | --- | --- | --- |"
    few = max(200, repetitions // 2)
    found = [splits(seeds=s, repetitions=few) for s in (3, 5, 10, 20)]
    yield "| 20 of 60 classes a seed, for new classes | " + " | ".join(map(_percent, found)) + " |"
    found = [clusters(seeds=s, copies=5, repetitions=few) for s in (3, 5, 10, 20)]
    yield "| 60 queries, each there five times, clustered | " + " | ".join(map(_percent, found)) + " |"
    for ratio in (0, 1, 2):
        found = [episodes(seeds=s, number=200, ratio=ratio, repetitions=few) for s in (3, 5, 10, 20)]
        yield f"| 200 episodes a seed, seeds' sd {ratio} standard errors | " + " | ".join(map(_percent, found)) + " |"
    yield ""
    yield "Calibration error, one seed and three:"
    yield ""
    yield "| seeds | queries | true % | mean estimate % | coverage % |"
    yield "| --- | --- | --- | --- | --- |"
    for seeds in (1, 3):
        for queries in (100, 400, 2000):
            for gap in (0.0, 0.02, 0.08):
                covered, mean = calibration(
                    seeds=seeds, queries=queries, gap=gap, repetitions=max(100, repetitions // 10)
                )
                yield f"| {seeds} | {queries} | {_percent(0.75 * gap)} | {_percent(mean)} | {_percent(covered)} |"
    yield ""
    yield "Over data sets, coverage %:"
    yield ""
    yield "| data sets | normal | exponential | lognormal |"
    yield "| --- | --- | --- | --- |"
    for n in (2, 3, 4, 5, 7, 11):
        found = [over_datasets(n=n, kind=k, repetitions=100_000) for k in ("normal", "exponential", "lognormal")]
        yield f"| {n} | " + " | ".join(map(_percent, found)) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="Put the table into docs/statistics.md.")
    given = parser.parse_args()
    lines = []
    for line in report(given.repetitions):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda m: m[1] + "\n" + "\n".join(lines) + "\n\n" + m[2], page), encoding="utf-8")


if __name__ == "__main__":
    main()
