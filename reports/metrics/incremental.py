"""Metrics of class-incremental learning, computed class by class.

Everything starts from the matrix A [..., s, c]: ``A[t, k]`` is the accuracy on the queries of class k after session t,
NaN while k has not arrived. Any leading dimensions (seeds, methods) are kept, so that thousands of runs are one call.
Groups of classes that arrive together play no part: a mean over classes is a mean over classes, whatever the
increment. Where a metric is not defined (one session, nothing old yet) it is NaN, never 0.

T is the last session, b(k) the session in which class k arrives, and O the classes with b(k) < T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sessions = NDArray[np.int64]
"""The session b(k) in which each class arrives [..., c], as :func:`arrival` gives it."""


def arrival(a: Array) -> Sessions:
    """Return b [..., c]: the first session in which a class is there; s for a class that never is."""
    there = ~np.isnan(a)
    return np.asarray(np.where(there.any(-2), there.argmax(-2), a.shape[-2]), dtype=np.int64)


def overall(correct: NDArray[np.integer], total: NDArray[np.integer]) -> Array:
    """Return accuracy over all queries after each session [..., s]: sum_k correct / sum_k total.

    Parameters
    ----------
    correct, total : integer arrays [..., s, c]
        Rightly answered and all queries of a class; 0 of 0 for a class that has not arrived.
    """
    return ratio(correct.sum(-1), total.sum(-1))


def of_group(
    correct: NDArray[np.integer], total: NDArray[np.integer], *, new: bool, first: Sessions | None = None
) -> Array:
    """Return accuracy over the queries of the new, or of the old, classes after each session [..., s].

    New in session t are the classes with b(k) = t, old those with b(k) < t; NaN where there is none (old in session 0).
    ``first`` is b, where it is known.
    """
    first = arrival(np.where(total > 0, 0.0, np.nan)) if first is None else first
    right, asked = _of_new(correct, first), _of_new(total, first)
    if not new:
        # Whatever has a query has arrived, and what is not new is old.
        right, asked = correct.sum(-1) - right, total.sum(-1) - asked
    return ratio(right, asked)


def of_start(
    correct: NDArray[np.integer], total: NDArray[np.integer], *, start: bool, first: Sessions | None = None
) -> Array:
    """Return accuracy after each session [..., s] over the queries of the classes with b(k) = 0, or of all others.

    Where few sessions bring classes (a memory that is edited), old and new by :func:`of_group` change their meaning
    from one session to the next; these two groups do not.
    """
    first = arrival(np.where(total > 0, 0.0, np.nan)) if first is None else first
    among = ((first == 0) == start)[..., None, :]
    return ratio(np.where(among, correct, 0).sum(-1), np.where(among, total, 0).sum(-1))


def _of_new(counts: NDArray[np.integer], first: Sessions) -> Sessions:
    """Return the sum of counts [..., s, c] over the classes that arrive in each session [..., s]."""
    s, c = counts.shape[-2:]
    lead = counts.shape[:-2]
    own = np.arange(int(np.prod(lead)))[:, None] * s + np.minimum(first, s - 1).reshape(-1, c)
    sums = np.bincount(own.ravel(), _at(counts, first).ravel(), minlength=int(np.prod(lead)) * s)
    # A sum of counts is a whole number, and exact as a float.
    return np.asarray(sums, dtype=np.int64).reshape(*lead, s)


def mean_over_classes(values: Array) -> Array:
    """Return the mean over the classes that have a value [...] of values [..., c]; NaN where none has."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(-1) / there.sum(-1))


def recall(a: Array) -> Array:
    """Return mean per-class recall after each session [..., s]: the mean of A[t, k] over classes that are there."""
    return mean_over_classes(a)


def average_incremental(accuracy: Array) -> Array:
    """Return average incremental accuracy [...]: the mean over sessions of the accuracy after each.

    (1 / (T + 1)) sum_t acc_t, session 0 included; Rebuffi et al., iCaRL, CVPR 2017, arXiv:1611.07725, section 4.
    """
    return np.asarray(accuracy.mean(-1))


def forgetting_per_class(a: Array) -> Array:
    """Return forgetting of each class [..., c]; NaN for classes of the last session.

    f_k = max_{b(k) <= t < T} A[t, k] - A[T, k]; the forgetting measure of Chaudhry et al., Riemannian Walk,
    ECCV 2018, arXiv:1801.10112, with a class in place of a task. It is negative where a class ended better than it
    ever was.
    """
    if a.shape[-2] < 2:
        return np.full(a.shape[:-2] + a.shape[-1:], np.nan)
    return np.asarray(np.fmax.reduce(a[..., :-1, :], axis=-2) - a[..., -1, :])


def forgetting(a: Array) -> Array:
    """Return the mean of :func:`forgetting_per_class` over O [...]."""
    return mean_over_classes(forgetting_per_class(a))


def backward_transfer(a: Array, first: Sessions | None = None) -> Array:
    """Return backward transfer [...]: the mean over O of A[T, k] - A[b(k), k]; ``first`` is b, where it is known.

    Lopez-Paz and Ranzato, GEM, NeurIPS 2017, arXiv:1706.08840, eq. 3, with a class in place of a task; negative
    when what was learned later hurt.
    """
    first = arrival(a) if first is None else first
    return mean_over_classes(np.where(first < a.shape[-2] - 1, a[..., -1, :] - _at(a, first), np.nan))


def learning_accuracy(a: Array, first: Sessions | None = None) -> Array:
    """Return the mean over classes of A[b(k), k] [...]: how well a class is learned when it arrives.

    Riemer et al., Learning to Learn without Forgetting, ICLR 2019, arXiv:1810.11910, "learning accuracy" (LA).
    ``first`` is b, where it is known.
    """
    return mean_over_classes(_at(a, arrival(a) if first is None else first))


def forward_transfer(a: Array, before: Array, chance: Array, first: Sessions | None = None) -> Array:
    """Return forward transfer [...]: the mean over classes with b(k) > 0 of B[k] - chance[k].

    Lopez-Paz and Ranzato, GEM, NeurIPS 2017, arXiv:1706.08840, eq. 4. ``before`` B [..., c] is the accuracy on class k
    after session b(k) - 1, before its first image was seen, and ``chance`` that of an untrained model.

    GEM asks a task's questions among the task's own classes, which are known beforehand, so an answer can be right by
    chance before anything was learned. In class-incremental learning a class is no possible answer before it arrives:
    B[k] would be 0 for every method, whatever it has learned, and the difference would measure the protocol. Methods
    that could answer by a class's text alone would do so from the text, which no session has taught them. So the
    incremental scenario does not ask for B, and the result there is NaN: not measured. It is for protocols that do.
    ``first`` is b, where it is known.
    """
    first = arrival(a) if first is None else first
    later = (first > 0) & (first < a.shape[-2])
    gain = np.where(later, before - chance, 0.0)
    return ratio(gain.sum(-1), later.sum(-1))


def _at(values: NDArray[Any], first: Sessions) -> NDArray[Any]:
    """Return the values [..., s, c] of each class in the session in which it arrives [..., c]."""
    row = np.minimum(first, values.shape[-2] - 1)[..., None, :]
    return np.take_along_axis(values, row, -2)[..., 0, :]


def ratio(part: NDArray[Any], whole: NDArray[np.integer]) -> Array:
    """Return shares, for instance A [..., s, c] of counts of rightly answered and of all queries; NaN for 0 of 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole, dtype=np.float64)
