"""Simulations of known truth through the estimators of the report, as a table.

python -m tests.statistics.simulate                  # prints it; about half an hour on one core
python -m tests.statistics.simulate --write          # and puts it into docs/statistics.md, part by part
python -m tests.statistics.simulate --only scores    # one part of it
"""

import argparse
import re
from functools import partial
from pathlib import Path

import numpy as np

from tests.statistics import simulations as of

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
SDS = (0.0, 0.01, 0.03)
TIMES_MORE = 100
"""Repetitions of a tail of p, and over data sets, for one of the others."""


def percent(value):
    return f"{100 * value:.1f}"


def table(*head):
    """Yield a blank line and the head of a table."""
    yield ""
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)


def row(*cells):
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def accuracies(repetitions):
    """Yield coverage and widths of accuracy, and which cells miss what is meant."""
    yield "Accuracy, coverage % (width over that of Student's t with seeds - 1 degrees of freedom; from ten seeds on"
    yield "also over that of the interval with the known standard deviation), by the seeds' sd in points:"
    kinds = [f"{kind} queries, sd {100 * sd:g}" for kind in ("shared", "own") for sd in SDS]
    yield from table("seeds", "queries", "accuracy %", *kinds)
    low, high, wide, wider, cells = [], [], [], [], 0
    error = np.sqrt(0.93 * 0.07 / repetitions)
    for seeds in (1, 2, 3, 5, 10, 20):
        for queries, rates in (
            (50, (0.5, 0.8, 0.97, 0.995)),
            (400, (0.5, 0.8, 0.97, 0.995)),
            (2000, (0.8, 0.995)),
            (5000, (0.8,)),
        ):
            for rate in rates:
                found = []
                for own in (False, True):
                    for sd in SDS:
                        if seeds == 1 and (sd or own):
                            found.append("")
                            continue
                        covered, t, known, exact = of.accuracy(
                            seeds=seeds, queries=queries, accuracy=rate, sd=sd, own=own, repetitions=repetitions
                        )
                        widths = [f"{x:.2f}" for x in ((t,) if seeds > 1 else ()) + ((known,) if seeds >= 10 else ())]
                        found.append(percent(covered) + (f" ({'; '.join(widths)})" if widths else ""))
                        cells += 1
                        kind = "own" if own else "shared"
                        place = f"{seeds} seeds, {queries} {kind}, {100 * rate:g} %, sd {100 * sd:g}: "
                        if covered < max(0.92, 0.93 - error):
                            low.append(place + percent(covered))
                        rare = queries * min(rate, 1 - rate) * (seeds if own else 1)
                        if seeds in (1, 10, 20) and rare >= 10 and covered > 0.98 + error:
                            high.append(place + percent(covered))
                        if seeds > 1 and t > 1.05:
                            wide.append((t, f"{place}{t:.2f}"))
                            if exact > 1.15:
                                wider.append((t, f"{place}{t:.2f}"))
                yield row(seeds, queries, f"{100 * rate:g}", *found)
    yield ""
    widest, widest_of_both = ([place for _, place in sorted(some)[:-6:-1]] for some in (wide, wider))
    for what, number, which in (
        ("cover less than 92 %, or than 93 % less a standard error", len(low), low),
        (
            "of one, ten and twenty seeds with ten rare answers cover more than 98 % and a standard error",
            len(high),
            high,
        ),
        ("are wider than 1.05 times Student's t, the widest", len(wide), widest),
        (
            "are wider than that and than 1.15 times Clopper and Pearson's interval, the widest",
            len(wider),
            widest_of_both,
        ),
    ):
        yield f"Of these {cells}, {number} {what}{': ' * bool(which)}{'; '.join(which)}."
        yield ""


def differences(repetitions):
    """Yield coverage, false positives and false equivalence of differences."""
    yield "Differences of two methods. The second loses a share of what the first answers rightly, gains as many others"
    yield "(*flips*), and loses the true difference (0 or 1 point); by the seeds' sd in points:"
    yield from table(
        *("seeds", "queries", "flips %", "coverage %: 0, sd 0", "0, sd 3", "1, sd 0", "1, sd 3", "0, sd 3, own"),
        *("P(p < .05) %: sd 0", "sd 3", "P(p < .005) %: sd 0", "sd 3", "equivalent at 1 point, sd 0 %"),
    )
    for seeds in (1, 2, 3, 5, 10):
        for queries in (50, 100, 200, 400, 2000):
            for flips in (0.0, 0.05):
                ask = partial(of.differences, seeds=seeds, queries=queries, flips=flips, repetitions=repetitions)
                none, one = ask(difference=0.0), ask(difference=0.01)
                if seeds == 1:
                    cells = [percent(none[0]), "", percent(one[0]), "", "", percent(none[1]), "", percent(none[2]), ""]
                else:
                    moved, both = ask(difference=0.0, sd=0.03), ask(difference=0.01, sd=0.03)
                    own = ask(difference=0.0, sd=0.03, own=True)
                    cells = [percent(x[0]) for x in (none, moved, one, both, own)]
                    cells += [percent(x[i]) for i in (1, 2) for x in (none, moved)]
                yield row(seeds, queries, f"{100 * flips:g}", *cells, percent(one[3]))


def tails(repetitions):
    """Yield how often p is small without a difference."""
    yield "P(p < a) / a without a difference, seeds' variance as a multiple of that of the queries' mean:"
    yield from table("seeds", "variance", "a = .05", ".01", ".005", ".001")
    for seeds in (3, 5, 10):
        for ratio in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0):
            found = of.tail(seeds=seeds, ratio=ratio, repetitions=TIMES_MORE * repetitions)
            yield row(seeds, f"{ratio:g}", *(f"{x:.2f}" for x in found))


def families(repetitions):
    """Yield how often any of some equal methods is called different."""
    yield "Any false difference after Holm, 500 queries:"
    yield from table("methods", "seeds", "seeds' sd 0", "1.4", "3")
    for methods in (5, 10):
        for seeds in (3, 5, 10):
            found = [
                of.family(methods=methods, seeds=seeds, sd=sd, repetitions=repetitions) for sd in (0.0, 0.014, 0.03)
            ]
            yield row(methods, seeds, *map(percent, found))


DESIGNS = {
    "10 of 40 queries": ((40,) * 10, (0.9, 0.85, 0.8)),
    "10 of 40 queries, nothing forgotten": ((40,) * 10, (0.85,)),
    "10 of 8 queries, nothing forgotten": ((8,) * 10, (0.85,)),
    "10 of 400 to 2 queries": ((400, 200, 100, 60, 40, 20, 10, 5, 3, 2), (0.9, 0.85, 0.8)),
    "10 of 40 queries, 98 % right": ((40,) * 10, (0.99, 0.99, 0.98)),
}


def scores(repetitions):
    """Yield the coverage of scores of class-incremental runs."""
    yield "Scores of class-incremental runs, coverage %:"
    yield from table("classes", "seeds", *of.SCORES)
    for name, (sizes, ages) in DESIGNS.items():
        for seeds in (1, 3, 10):
            found = of.scores(seeds=seeds, sizes=sizes, ages=ages, repetitions=repetitions)
            yield row(name, seeds, *(percent(found[score]) for score in of.SCORES))


def others(repetitions):
    """Yield the coverage of other designs."""
    yield "Other designs, coverage %:"
    some = (3, 5, 10, 20)
    yield from table("design", "3 seeds", "5", "10", "20")
    found = [of.splits(seeds=s, repetitions=repetitions) for s in some]
    yield row("20 of 60 classes a seed, for new classes", *map(percent, found))
    found = [of.clusters(seeds=s, copies=5, repetitions=repetitions) for s in some]
    yield row("60 queries, each there five times, clustered", *map(percent, found))
    for ratio in (0, 1, 2):
        found = [of.episodes(seeds=s, number=200, ratio=ratio, repetitions=repetitions) for s in some]
        yield row(f"200 episodes a seed, seeds' sd {ratio} standard errors", *map(percent, found))


def calibrations(repetitions):
    """Yield the coverage of the calibration error."""
    yield "Calibration error:"
    yield from table("seeds", "queries", "true %", "mean estimate %", "coverage %")
    for seeds in (1, 3, 10):
        for queries in (100, 400, 2000):
            for gap in (0.0, 0.02, 0.08):
                covered, mean = of.calibration(seeds=seeds, queries=queries, gap=gap, repetitions=repetitions)
                yield row(seeds, queries, percent(0.75 * gap), percent(mean), percent(covered))


def datasets(repetitions):
    """Yield the coverage of means over data sets."""
    yield "Means over data sets, and paired differences, which have the same form; coverage %:"
    kinds = ("normal", "exponential", "lognormal")
    yield from table("data sets", *kinds)
    for n in (2, 3, 4, 5, 7, 11):
        found = [of.over_datasets(n=n, kind=kind, repetitions=TIMES_MORE * repetitions) for kind in kinds]
        yield row(n, *map(percent, found))


PARTS = {
    part.__name__: part for part in (accuracies, differences, tails, families, scores, others, calibrations, datasets)
}


def report(name, repetitions):
    """Yield the lines of one part, from its mark to the next one's."""
    error = 100 * np.sqrt(0.95 * 0.05 / repetitions)
    tails = name in ("tails", "datasets")
    yield f"<!-- {name} -->"
    yield ""
    yield from PARTS[name](repetitions)
    yield ""
    yield (
        f"{TIMES_MORE * repetitions if tails else repetitions:,} repetitions a number"
        + ("." if tails else f", a standard error of {error:.1f} points at 95 %.")
    )
    yield ""


def write(name, lines):
    """Put a part into the page, in place of what was there of it."""
    page = PAGE.read_text(encoding="utf-8")
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines) + "\n")
    there = re.compile(rf"<!-- {name} -->\n.*?(?=<!-- (?:{'|'.join(PARTS)}|end) -->)", re.S)
    PAGE.write_text(there.sub(lambda _: text, page), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--only", choices=PARTS, action="append", help="Parts to simulate; all without it.")
    parser.add_argument("--write", action="store_true", help="Put each part into docs/statistics.md when it is done.")
    given = parser.parse_args()
    for name in given.only or PARTS:
        lines = []
        for line in report(name, given.repetitions):
            print(line, flush=True)
            lines.append(line)
        if given.write:
            write(name, lines)


if __name__ == "__main__":
    main()
