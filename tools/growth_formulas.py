"""What each method's work and memory are by its formula, as powers of the images n, the classes C and the dimensions d.

Terms are those that can lead; numbers of epochs or steps, settings, neighbours, hidden layers and random features are
constants, of which ``short`` states those that are fewer here than by default. A variant of a method grows as the
method does, but for tip-adapter-f, which trains. Held-out images are at most four a class, so that C stands for their
number too; an n alone among what is held is the column of each image. Scoring is for a given number of queries, none of
which any term depends on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Powers = tuple[int, int, int]
"""Of n, C and d."""


@dataclass(frozen=True)
class Formula:
    """How a method grows.

    Attributes
    ----------
    build, score, held : str
        Sums of products such as ``n d^2 + C d``: operations to build and to score, and numbers that are held at most.
    why : str
        Where the leading terms come from.
    short : dict
        Settings that make constants small, in which nothing but a number of steps or of random features changes.
    """

    build: str
    score: str
    held: str
    why: str
    short: dict[str, Any] | None = None


_SESSIONS = ("n d + n C d", "d + C d", "n d + C d", "steps of a batch of images through an adapter and a head")
_SHORT = {"epochs": 1, "min_steps": 0}

FORMULAS = {
    "ape": Formula(
        "n C d + C^2", "n d + C d", "n d + C^2 + C d", "likeness to all texts; held-out images against all others"
    ),
    "clap": Formula("n C d", "C d", "n d + C d", "steps of a head over all images", {"epochs": 3}),
    "cross-modal-probe": Formula("n d + C d", "C d", "n d + C d", "a given number of steps of a head", {"steps": 200}),
    "dmn": Formula("n d", "n d + C d", "n d + C d", "each query meets all images and the queries kept of each class"),
    "fecam": Formula(
        "n d^2 + n^2 d + C d^3",
        "n d + n^2 + C d^2",
        "n d + C d^2",
        "a class's covariance has as many rows as the class has images, and at most d",
    ),
    "foster": Formula(*_SESSIONS, _SHORT),
    "gda": Formula(
        "n d^2 + d^3 + C d^2 + C^2 d", "C d", "d^2 + C d + C^2 + n", "one covariance and its inverse; held-out images"
    ),
    "icarl": Formula(*_SESSIONS, _SHORT),
    "klda": Formula(
        "n d + n + C", "d + C", "n + d + C", "a given number of random features, and their covariance", {"width": 256}
    ),
    "knn": Formula("n d", "n d + C", "n d", "each query meets all images"),
    "linear-probe": Formula(
        "n C d + n d^2 + d^3", "C d", "n d + n C + C d", "steps of a head over all images; principal axes", {"c": 1.0}
    ),
    "lp++": Formula("n C d + n d^2 + d^3", "C d", "n d + n C + C d", "steps of a head over all images", {"epochs": 10}),
    "lwf": Formula(*_SESSIONS, _SHORT),
    "mml": Formula(
        "n^2 d + n d^2 + n C d",
        "n d + d^2 + C d",
        "n d + d^2 + C d",
        "neighbours of all images; a block of attention; prototypes",
        {"epochs": 1, "adapt_epochs": 1},
    ),
    "neural-priming": Formula("n d + C d", "C d", "C d", "class means and texts"),
    "proker": Formula(
        "n^3 + n^2 d + n^2 C + n C d",
        "n d + n C + C d",
        "n^2 + n C + n d",
        "a system of as many equations as images, solved at each setting",
        {"grid_steps": 2},
    ),
    "proof": Formula(
        "n C^2 d + n C d + n d^2 + C d^2 + n^2 d",
        "C^2 d + C d + d^2",
        "n d + C^2 + C d + d^2",
        "self-attention among texts and prototypes in each step",
        {"epochs": 1},
    ),
    "protonet": Formula("n d + C d", "C d", "C d", "class means"),
    "rac": Formula(
        "n^2 d + n d + C d",
        "n d + C d",
        "n d + C d",
        "neighbours of all images; a given number of steps",
        {"steps": 50},
    ),
    "ranpac": Formula(
        "n d + n C + n",
        "d + C",
        "n + n C + d + C",
        "a given number of random features, and their products",
        {"width": 256},
    ),
    "rapf": Formula(
        "n d^2 + n C d + C d^3", "d^2 + C d", "C d^2 + n d", "a covariance of each class and its factor", {"epochs": 1}
    ),
    "real-linear": Formula("n C d + n d", "C d", "n d + C d", "steps of a head over all images", {"passes": 1}),
    "reco": Formula("n d", "n d + d^2 + C d + C d^2", "n d + d^2 + C d", "neighbours, and a block of attention"),
    "replay": Formula(*_SESSIONS, _SHORT),
    "simplecil": Formula("n d + C d", "C d", "C d", "class means"),
    "slda": Formula("n d^2 + d^3 + C d^2", "C d", "d^2 + C d + n", "one covariance and its inverse"),
    "tda": Formula("C d", "C d", "C d", "each query meets three queries kept of each class"),
    "text-knn": Formula("n^2 d + n C d + n^2 + n C", "n d + C d", "n d + C d", "all images meet one another, in folds"),
    "text-memory": Formula("C d", "C d", "C d", "means of texts"),
    "tip-adapter": Formula(
        "n C d + n C + C^2", "n d + n + C d", "n d + C d + C^2", "held-out images meet all others, at every setting"
    ),
    "tip-adapter-f": Formula(
        "n^2 d + n^2 + n C d + n C + C^2",
        "n d + n + C d",
        "n d + C d + C^2",
        "each step meets all images; then the search of tip-adapter",
        {"epochs": 1},
    ),
    "tip-x": Formula(
        "n C d + n C^2 + C^2", "n d + C^2 + C d", "n d + C^2 + C d", "held-out images meet all others by both distances"
    ),
    "transclip": Formula("n d", "n d + C d", "n d + C d", "the queries' mixture; labelled images find near queries"),
    "visual-memory": Formula("n d", "n d + C", "n d", "each query meets all images"),
    "zero-shot": Formula("C d", "C d", "C d", "class texts"),
    "zlap": Formula("C d", "C d", "C d", "a graph of the queries and the texts"),
    "zlap-inductive": Formula(
        "n^2 d + n C d", "n d + n C + C d", "n C + n d", "a graph of all images, solved for each class"
    ),
}


def powers(formula: str) -> list[Powers]:
    """Return the powers of n, C and d in each term of a formula."""
    found = []
    for term in formula.split("+"):
        given = dict.fromkeys("nCd", 0)
        for name, power in re.findall(r"([nCd])(?:\^(\d))?", term):
            given[name] += int(power or 1)
        found.append((given["n"], given["C"], given["d"]))
    return found


def largest_powers(formula: str) -> Powers:
    """Return the largest power of each of n, C and d in any term: no method may grow faster than that."""
    n, c, d = (max(each) for each in zip(*powers(formula), strict=True))
    return n, c, d
