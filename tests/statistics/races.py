"""Simulated races whose truth is known.

python -m tests.statistics.races            # prints the table; a few minutes on one core
python -m tests.statistics.races --write    # and puts it into docs/how-to/budget.md
"""

import argparse
import re
from pathlib import Path

import numpy as np

from bench.classifier.wilson import wilson
from bench.racing.race import Outcome, race

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "budget.md"
BLOCK = re.compile(r"(<!-- measured by tests\.statistics\.races -->\n).*?(<!-- end -->)", re.S)
RACES = 2000


def one_race(rng, accuracies, *, rounds, images, alike=0.5):
    """Race candidates of given accuracies; a share ``alike`` of the images is right or wrong for all of them at once.

    The others are answered independently, so that equal candidates differ as often as they do on real images.
    """
    names = [f"c{n}" for n in range(len(accuracies))]
    shared = rng.random((rounds, images)) < alike
    common = rng.random((rounds, images))
    own = rng.random((len(names), rounds, images))
    right = np.where(shared, common, own) < np.asarray(accuracies)[:, None, None]
    return race(names, rounds, lambda name, number: right[int(name[1:]), number])


def share(races, accuracies, happened, *, rounds, images, seed):
    """Return how many of some races ended as ``happened`` says, and the median images that they took."""
    rng = np.random.default_rng([seed, len(accuracies), rounds, images])
    ends = [one_race(rng, accuracies, rounds=rounds, images=images) for _ in range(races)]
    return sum(map(happened, ends)), float(np.median([end.images for end in ends]))


def wrong(end: Outcome) -> bool:
    """Return whether a race of equal candidates put one of them out."""
    return bool(end.left)


def first_wins(end: Outcome) -> bool:
    """Return whether the race was decided for the first candidate."""
    return end.decided and end.winner == "c0"


DESIGNS = (
    ("2 equal, 85 % right", (0.85,) * 2, wrong, 5, 200),
    ("6 equal, 85 % right", (0.85,) * 6, wrong, 5, 200),
    ("6 equal, 50 % right", (0.5,) * 6, wrong, 5, 200),
    ("2 equal, 85 % right, looked at after every 25 images", (0.85,) * 2, wrong, 40, 25),
    ("one of 6 better by 10 points", (0.9, *(0.8,) * 5), first_wins, 5, 200),
    ("one of 6 better by 5 points", (0.9, *(0.85,) * 5), first_wins, 5, 200),
)


def table(races=RACES):
    """Return the lines of the table."""
    lines = ["| candidates | what happened | races | share, 95 % | images, median |"]
    lines += ["| --- | --- | ---: | ---: | ---: |"]
    for words, accuracies, happened, rounds, images in DESIGNS:
        count, median = share(races, accuracies, happened, rounds=rounds, images=images, seed=0)
        low, high = wilson(count, races)
        what = "one was put out" if happened is wrong else "decided for it"
        shown = f"{count / races:.1%} [{low:.1%}, {high:.1%}]".replace("%", " %")
        lines.append(f"| {words} | {what} | {races} | {shown} | {median:.0f} of {rounds * images} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    text = "\n".join(table()) + "\n"
    print(text, end="")
    if given.write:
        PAGE.write_text(BLOCK.sub(lambda match: match[1] + text + match[2], PAGE.read_text()))


if __name__ == "__main__":
    main()
