"""How well scores tell known from unknown, and right answers from wrong ones; arrays of any leading order.

Where not said otherwise ties count as scikit-learn counts them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auroc(known: Floats, unknown: Floats) -> float:
    """Return the chance that a known one scores above an unknown one, a tie counting half; NaN without either."""
    if not len(known) or not len(unknown):
        return float("nan")
    below = np.sort(unknown)
    wins = np.searchsorted(below, known, "left") + np.searchsorted(below, known, "right")
    return float(wins.sum() / (2 * len(known) * len(unknown)))


def fpr_at_recall(known: Floats, unknown: Floats, recall: float = 0.95) -> float:
    """Return the share of unknown ones at the largest threshold that keeps at least ``recall`` of the known ones."""
    if not len(known) or not len(unknown):
        return float("nan")
    threshold = np.sort(known)[::-1][int(np.ceil(recall * len(known))) - 1]
    return float((unknown >= threshold).mean())


def aupr(known: Floats, unknown: Floats) -> float:
    """Return the average precision of known ones: sum over thresholds of the gain in recall times the precision."""
    if not len(known) or not len(unknown):
        return float("nan")
    scores = np.concatenate([known, unknown])
    truth = np.concatenate([np.ones(len(known)), np.zeros(len(unknown))])
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found, asked = found[last], last + 1.0
    gained = np.diff(np.append(0.0, found)) / len(known)
    return float((gained * found / asked).sum())


def oscr(known: Floats, right: NDArray[np.bool_], unknown: Floats) -> float:
    """Return the area under correct classification of known ones against acceptance of unknown ones.

    Dhamija et al., Reducing Network Agnostophobia, NeurIPS 2018, arXiv:1811.04110, as an area: the chance that a known
    one is answered rightly and scores above an unknown one, a tie counting half.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    return auroc(known[right], unknown) * float(right.mean()) if right.any() else 0.0


def aurc(scores: Floats, right: NDArray[np.bool_]) -> float:
    """Return the area under the risk-coverage curve: the mean share of errors among the surest 1, 2, ..., n.

    Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017, arXiv:1705.08500. Equal
    scores enter in every order, and errors among them count as their mean.
    """
    if not len(scores):
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    wrong = (~right[order]).astype(np.float64)
    _, group, sizes = np.unique(-scores[order], return_inverse=True, return_counts=True)
    wrong = (np.bincount(group, wrong) / sizes)[group]
    return float((np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean())
