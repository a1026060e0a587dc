"""Metrics of class-incremental learning, computed class by class.

Everything starts from the matrix A [..., s, c]: ``A[t, k]`` is the accuracy on the queries of class k after session t,
NaN while k has not arrived. Any leading dimensions (seeds, methods) are kept, so that thousands of runs are one call.
Groups of classes that arrive together play no part: a mean over classes is a mean over classes, whatever the
increment. Where a metric is not defined (one session, nothing old yet) it is NaN, never 0.

T is the last session, b(k) the session in which class k arrives, and O the classes with b(k) < T.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _quiet(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Let means over nothing be NaN without a warning; that is what they are here."""

    @wraps(function)
    def inner(a: Array) -> Array:
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)
            return function(a)

    return inner


def arrival(a: Array) -> NDArray[np.int64]:
    """Return b [..., c]: the first session in which a class is there; s for a class that never is."""
    there = ~np.isnan(a)
    return np.asarray(np.where(there.any(-2), there.argmax(-2), a.shape[-2]), dtype=np.int64)


def _old(a: Array) -> NDArray[np.bool_]:
    return np.asarray(arrival(a) < a.shape[-2] - 1)


def overall(correct: NDArray[np.integer], total: NDArray[np.integer]) -> Array:
    """Return accuracy over all queries after each session [..., s]: sum_k correct / sum_k total.

    Parameters
    ----------
    correct, total : integer arrays [..., s, c]
        Rightly answered and all queries of a class; 0 of 0 for a class that has not arrived.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(correct.sum(-1) / total.sum(-1), dtype=np.float64)


def of_group(correct: NDArray[np.integer], total: NDArray[np.integer], *, new: bool) -> Array:
    """Return accuracy over the queries of the new, or of the old, classes after each session [..., s].

    New in session t are the classes with b(k) = t, old those with b(k) < t; NaN where there is none (old in session 0).
    """
    session = np.arange(total.shape[-2])[:, None]
    first = arrival(np.where(total > 0, 0.0, np.nan))[..., None, :]
    mask = first == session if new else first < session
    return overall(np.where(mask, correct, 0), np.where(mask, total, 0))


@_quiet
def recall(a: Array) -> Array:
    """Return mean per-class recall after each session [..., s]: the mean of A[t, k] over classes that are there."""
    return np.asarray(np.nanmean(a, -1))


def average_incremental(accuracy: Array) -> Array:
    """Return average incremental accuracy [...]: the mean over sessions of the accuracy after each.

    (1 / (T + 1)) sum_t acc_t, session 0 included; Rebuffi et al., iCaRL, CVPR 2017, arXiv:1611.07725, section 4.
    """
    return np.asarray(accuracy.mean(-1))


@_quiet
def forgetting_per_class(a: Array) -> Array:
    """Return forgetting of each class [..., c]; NaN for classes of the last session.

    f_k = max_{b(k) <= t < T} A[t, k] - A[T, k]; the forgetting measure of Chaudhry et al., Riemannian Walk,
    ECCV 2018, arXiv:1801.10112, with a class in place of a task. It is negative where a class ended better than it
    ever was.
    """
    if a.shape[-2] < 2:
        return np.full(a.shape[:-2] + a.shape[-1:], np.nan)
    return np.asarray(np.nanmax(a[..., :-1, :], -2) - a[..., -1, :])


@_quiet
def forgetting(a: Array) -> Array:
    """Return the mean of :func:`forgetting_per_class` over O [...]."""
    return np.asarray(np.nanmean(forgetting_per_class(a), -1))


@_quiet
def backward_transfer(a: Array) -> Array:
    """Return backward transfer [...]: the mean over O of A[T, k] - A[b(k), k].

    Lopez-Paz and Ranzato, GEM, NeurIPS 2017, arXiv:1706.08840, eq. 3, with a class in place of a task; negative
    when what was learned later hurt.
    """
    change = np.where(_old(a), a[..., -1, :] - _at_arrival(a), np.nan)
    return np.asarray(np.nanmean(change, -1))


@_quiet
def learning_accuracy(a: Array) -> Array:
    """Return the mean over classes of A[b(k), k] [...]: how well a class is learned when it arrives.

    Riemer et al., Learning to Learn without Forgetting, ICLR 2019, arXiv:1810.11910, "learning accuracy" (LA).
    """
    return np.asarray(np.nanmean(_at_arrival(a), -1))


def forward_transfer(a: Array, before: Array, chance: Array) -> Array:
    """Return forward transfer [...]: the mean over classes with b(k) > 0 of B[k] - chance[k].

    Lopez-Paz and Ranzato, GEM, NeurIPS 2017, arXiv:1706.08840, eq. 4. ``before`` B [..., c] is the accuracy on class k
    after session b(k) - 1, before its first image was seen, and ``chance`` that of an untrained model.

    GEM asks a task's questions among the task's own classes, which are known beforehand, so an answer can be right by
    chance before anything was learned. In class-incremental learning a class is no possible answer before it arrives:
    B[k] would be 0 for every method, whatever it has learned, and the difference would measure the protocol. Methods
    that could answer by a class's text alone would do so from the text, which no session has taught them. So the
    incremental scenario does not ask for B, and the result there is NaN: not measured. It is for protocols that do.
    """
    later = (arrival(a) > 0) & (arrival(a) < a.shape[-2])
    gain = np.where(later, before - chance, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(gain.sum(-1) / later.sum(-1))


def _at_arrival(a: Array) -> Array:
    row = np.minimum(arrival(a), a.shape[-2] - 1)[..., None, :]
    return np.take_along_axis(a, row, -2)[..., 0, :]


def ratio(correct: NDArray[np.integer], total: NDArray[np.integer]) -> Array:
    """Return A [..., s, c] of counts; NaN where a class has no query."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(correct / total, dtype=np.float64)
