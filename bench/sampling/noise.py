"""Noise models: wrong labels and spoilt memory items, in exact counts, nested by rate.

Which rows are changed follows one random order of all rows, of which a rate takes the first ``round(rate n)``; what a
row becomes is drawn for the row. So the changes at 10 % are among those at 20 %, row by row. Only the stream moves a
draw. Labels here are columns: positions in the classes of a task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.core.memory import Items
from bench.functional.classwise import class_sums, normalise
from bench.utils.errors import BenchError
from bench.utils.random import Stream

LabelNoise = Literal["symmetric", "uniform", "asymmetric", "pair-flip", "transition"]
"""Where a changed label goes: to any other class; to any class, its own among them (so that a rate of 1 leaves
chance); to the most confusable class; to the next class; by the user's transition matrix."""

MemoryNoise = Literal["wrong-class", "off-topic", "corrupted"]
"""What is wrong with a changed item: it was found under another class's name; it shows nothing of any class; its
vector is shaken."""

_COMPANIONS = 4096
"""Items from which the spread of a memory is estimated, at most."""


@dataclass(frozen=True, eq=False)
class Relabelled:
    """Labels with noise.

    Attributes
    ----------
    labels : int64 Tensor [n]
        The new labels of all rows.
    rows : int64 Tensor [r]
        Positions of the rows that were drawn, ascending; with ``uniform`` noise and with a transition matrix the new
        label of some of them is the old one.
    """

    labels: Tensor
    rows: Tensor


@dataclass(frozen=True, eq=False)
class Spoilt:
    """Items with noise, and the positions of those that were changed, int64 [r], ascending."""

    items: Items
    rows: Tensor


def check_rate(rate: float) -> None:
    """Raise :class:`BenchError` for a rate outside [0, 1]."""
    if not 0 <= rate <= 1:
        raise BenchError(f"a noise rate of {rate} is outside 0 to 1; give the share of rows to change, e.g. 0.2")


def check_rates(rates: Sequence[float]) -> None:
    """Raise :class:`BenchError` for a rate outside [0, 1] among some."""
    for rate in rates:
        check_rate(rate)


def affected(ids: np.ndarray, rate: float, rng: Stream) -> Tensor:
    """Return which rows are changed, in the order drawn: exactly ``round(rate n)``, halves up, int64.

    Their ids decide, str [n], wherever they stand.

    Raises
    ------
    BenchError
        If the rate is outside [0, 1].
    """
    check_rate(rate)
    # The product is rounded first, so that 0.15 x 10 = 1.4999... counts as the half it means.
    count = math.floor(round(rate * len(ids), 9) + 0.5)
    return torch.from_numpy(rng.child("rows").order(ids)[:count])


# -- labels --------------------------------------------------------------------------------------------------------


def confusable(x: Tensor, columns: Tensor, n_classes: int) -> Tensor:
    """Return for each class the other class whose mean is nearest by cosine, int64 [c]; ties go to the first.

    Parameters
    ----------
    x : Tensor [n, d]
    columns : int64 Tensor [n]
        Every class needs a row.
    """
    # A sum points where its mean does; it is read block by block.
    means = normalise(class_sums(x, columns, n_classes, unit=True))
    return (means @ means.T).fill_diagonal_(-torch.inf).argmax(1).cpu()


def transition(
    kind: LabelNoise,
    n_classes: int,
    *,
    partners: Tensor | None = None,
    matrix: Sequence[Sequence[float]] | None = None,
) -> np.ndarray:
    """Return the distribution of a changed label given the right one, float64 [c, c], rows sum to 1.

    Parameters
    ----------
    partners : int64 Tensor [c], optional
        The class each class is mistaken for; ``asymmetric`` needs it, see :func:`confusable`.
    matrix : sequence, optional
        The user's own matrix; ``transition`` needs it. At rate 1 all labels are drawn from it, at rate r the labels
        follow (1 - r) I + r T.
    """
    if kind == "symmetric":
        return (1 - np.eye(n_classes)) / (n_classes - 1)
    if kind == "uniform":
        return np.full((n_classes, n_classes), 1 / n_classes)
    if kind == "transition":
        given = np.array(matrix if matrix is not None else [], dtype=np.float64)
        if given.shape != (n_classes, n_classes) or (given < 0).any() or abs(given.sum(1) - 1).max() > 1e-6:
            raise BenchError(
                f"a transition matrix of shape {given.shape} does not serve {n_classes} classes; give a row of "
                f"{n_classes} shares that sum to 1 for each class, in the order of class ids"
            )
        return given
    if kind == "pair-flip":
        partners = (torch.arange(n_classes) + 1) % n_classes
    if partners is None:
        raise ValueError("asymmetric noise needs the class that each class is mistaken for")
    made: np.ndarray = np.eye(n_classes)[partners.numpy()]
    return made


def relabel(columns: Tensor, ids: np.ndarray, rate: float, matrix: np.ndarray, *, rng: Stream) -> Relabelled:
    """Return labels of which exactly ``round(rate n)`` are drawn again, from the old one's row of ``matrix``.

    Parameters
    ----------
    columns : int64 Tensor [n]
    ids : str array [n]
    matrix : float64 array [c, c]
        See :func:`transition`.
    """
    old = columns.cpu().numpy()
    rows = affected(ids, rate, rng).sort().values
    at = rows.numpy()
    uniform = rng.child("labels").shares(ids)
    new = old.copy()
    for column in np.unique(old[at]):
        mine = at[old[at] == column]
        cumulative = matrix[column].cumsum()
        # A class of share 0 has an interval of width 0, which "right" steps over; the last value is exactly 1.
        new[mine] = np.searchsorted(cumulative / cumulative[-1], uniform[mine], side="right")
    return Relabelled(torch.from_numpy(new).to(columns.device), rows)


def check_recorded(labels: Mapping[str, object], ids: np.ndarray) -> None:
    """Raise :class:`BenchError` for a label that is recorded for an id that is not there."""
    stranger = sorted(set(labels) - set(ids.tolist())) if labels else []
    if stranger:
        raise BenchError(f"a label is recorded for {stranger[0]!r}, which is no support image; remove it")


def recorded(columns: Tensor, ids: np.ndarray, labels: Mapping[str, int], rate: float, *, rng: Stream) -> Relabelled:
    """Return labels with the given share of a user's recorded noisy labels put in place of the right ones.

    Parameters
    ----------
    columns : int64 Tensor [n]
    ids : str array [n]
    labels : mapping of str to int
        The noisy label of each id; those that agree with the right label are not noise and do not count.
    rate : float
        Share of the disagreeing labels that are used; 1 takes the record as it is.
    """
    check_recorded(labels, ids)
    noisy = torch.tensor([labels.get(name, int(old)) for name, old in zip(ids, columns, strict=True)])
    differ = (noisy != columns.cpu()).nonzero().squeeze(1)
    rows = differ[affected(ids[differ.numpy()], rate, rng)].sort().values
    new = columns.clone()
    new[rows.to(new.device)] = noisy[rows].to(new.device)
    return Relabelled(new, rows)


# -- memories ------------------------------------------------------------------------------------------------------


def wrong_class(items: Items, classes: Sequence[int], rate: float, *, rng: Stream) -> Spoilt:
    """Return items of which exactly ``round(rate m)`` are labelled with another class, drawn uniformly.

    Kang et al., TMLR 2025, appendix, table 20: items are moved among classes; vectors and ids stay.

    Parameters
    ----------
    classes : sequence of int
        The class ids among which labels move; every label must be one.
    """
    order = torch.tensor(sorted(classes))
    columns = torch.searchsorted(order, items.labels.cpu())
    noisy = relabel(columns, items.ids, rate, transition("symmetric", len(order)), rng=rng)
    return Spoilt(replace(items, labels=order[noisy.labels].to(items.labels.device)), noisy.rows)


def off_topic(items: Items, rate: float, *, rng: Stream, pool: Items | None = None) -> Spoilt:
    """Return items of which exactly ``round(rate m)`` show nothing of their class, nor of any other.

    Parameters
    ----------
    pool : Items, optional
        Other things, from which replacements are drawn with repetition. Without it they are drawn from the
        Gaussian with the mean and covariance of all items: they lie where the encoder puts images (or texts), but at
        no class.
    """
    order = affected(items.ids, rate, rng)
    if not len(order):
        return Spoilt(items, order)
    draw = rng.child("vectors").numpy()
    if pool is not None:
        picked = rng.child("others").order(pool.ids)[
            np.floor(rng.child("picks").shares(items.ids[order.numpy()]) * len(pool)).astype(np.int64)
        ]
        new = normalise(pool.x[torch.from_numpy(picked).to(pool.x.device)])
    else:
        some = rng.child("companions").order(items.ids)[:_COMPANIONS]
        x = normalise(items.x[torch.from_numpy(some).to(items.x.device)])
        spread = (x - x.mean(0)) / max(1, len(x) - 1) ** 0.5
        # With g standard normal, g' spread has the covariance of the rows of x. Row after row is drawn, so blocks
        # bound the memory and change nothing.
        blocks = [
            torch.from_numpy(draw.standard_normal((len(part), len(x)), dtype=np.float32)).to(x.device) @ spread
            for part in torch.split(order, _COMPANIONS)
        ]
        new = normalise(x.mean(0) + torch.cat(blocks))
    return _with_vectors(items, order, new)


def corrupted(items: Items, rate: float, *, rng: Stream, strength: float = 1.0) -> Spoilt:
    """Return items of which exactly ``round(rate m)`` have a shaken vector, at their old norm.

    Parameters
    ----------
    strength : float
        Length of the random direction added to the unit vector; at 1 the cosine to the old vector is about 0.71.
    """
    order = affected(items.ids, rate, rng)
    if not len(order):
        return Spoilt(items, order)
    x = normalise(items.x[order.to(items.x.device)])
    noise = rng.child("vectors").numpy().standard_normal(tuple(x.shape), dtype=np.float32)
    shaken = normalise(x + strength * normalise(torch.from_numpy(noise).to(x.device)))
    return _with_vectors(items, order, shaken)


def _with_vectors(items: Items, order: Tensor, unit: Tensor) -> Spoilt:
    """Return the items with the vectors of some exchanged for unit ones scaled to their old norms."""
    at = order.to(items.x.device)
    x = items.x.clone()
    x[at] = (unit * items.x[at].float().norm(dim=1, keepdim=True)).to(x.dtype)
    return Spoilt(replace(items, x=x), order.sort().values)
