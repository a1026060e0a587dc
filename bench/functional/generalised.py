"""Seen and unseen classes that compete: accuracies, their harmonic mean, and the area under the curve of both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def harmonic(seen: float, unseen: float) -> float:
    """Return 2 S U / (S + U); 0 where both are 0."""
    return 2 * seen * unseen / (seen + unseen) if seen + unseen > 0 else 0.0


def mean_of_classes(right: Bools, targets: Ints) -> float:
    """Return the mean over classes of the share of right answers; NaN without queries."""
    if not len(targets):
        return float("nan")
    _, which, counts = np.unique(targets, return_inverse=True, return_counts=True)
    return float((np.bincount(which, right.astype(np.float64)) / counts).mean())


def gaps(scores: Floats, targets: Ints, seen: Bools) -> tuple[Floats, Bools]:
    """Return by how much each query's best seen score is above its best unseen one, and whether it can be right, [q].

    It can if the best seen class is that of a query of a seen class, or the best unseen one that of another.

    Parameters
    ----------
    scores : float array [q, c]
    targets : int array [q]
        Columns.
    seen : bool array [c]
    """
    best_seen, best_unseen = np.where(seen, scores, -np.inf), np.where(seen, -np.inf, scores)
    hit = np.where(seen[targets], best_seen.argmax(1) == targets, best_unseen.argmax(1) == targets)
    return best_seen.max(1) - best_unseen.max(1), hit


def curve_area(gap: Floats, hit: Bools, targets: Ints, own: Bools) -> float:
    """Return the area under seen against unseen accuracy, as a bias is added to the scores of unseen classes.

    Chao et al., An Empirical Study and Analysis of Generalized Zero-Shot Learning, ECCV 2016, arXiv:1605.04253. A query
    changes its answer where the bias passes its gap, so the curve has a corner at each; accuracies are means over
    classes, and the area is that below straight lines between corners.

    Parameters
    ----------
    gap, hit : arrays [q]
        As :func:`gaps` has them.
    own : bool array [q]
        Which queries are of seen classes.
    """
    if own.all() or not own.any():
        return float("nan")
    _, which, counts = np.unique(targets, return_inverse=True, return_counts=True)
    classes = len(np.unique(targets[own])), len(np.unique(targets[~own]))
    weight = hit / counts[which] / np.where(own, *classes)
    # From a bias of minus infinity, where every answer is a seen class, upwards.
    order = np.argsort(gap, kind="stable")
    last = np.append(np.flatnonzero(np.diff(gap[order]) > 0), len(gap) - 1)
    lost = np.cumsum(np.where(own, weight, 0.0)[order])[last]
    won = np.cumsum(np.where(own, 0.0, weight)[order])[last]
    s = np.append(weight[own].sum(), weight[own].sum() - lost)
    return float(np.trapezoid(s, np.append(0.0, won)))
