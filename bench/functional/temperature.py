"""The temperature under which softmax of scores means what it says."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from bench.functional.scalar_minimum import bounded_minimum

_RANGE = 16.0
"""Natural logarithm of the largest factor by which scores are stretched or shrunk."""


def fitted_temperature(scores: Tensor, columns: Tensor) -> float | None:
    """Return the temperature under which labelled images are likeliest; None if none is likelier than another.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599, section 4.2, with the targets of
    Platt, Probabilistic Outputs for Support Vector Machines, 1999: of n images the right class counts (n + 1)/(n + 2)
    and the others share the rest, so that a few images that are all answered correctly do not make it certain. An image
    of a class that cannot be answered takes no part.

    Parameters
    ----------
    scores : Tensor [n, c]
        Of images that the classifier did not see: logits, cosines or votes; minus infinity for a class that cannot be
        answered.
    columns : int64 Tensor [n]
        The right column of each.
    """
    n = len(scores)
    s, right = scores.detach().cpu().double().numpy(), columns.cpu().numpy()
    finite = np.isfinite(s)
    # Differences to the largest score, so that any stretch can be applied without overflow.
    with np.errstate(invalid="ignore"):
        s = np.where(finite, s - np.where(finite, s, -np.inf).max(1, keepdims=True, initial=-np.inf), -np.inf)
    rest = 1 / (n + 2)
    others = finite.copy()
    others[np.arange(n), right] = False
    counts = others.sum(1)
    usable = finite[np.arange(n), right] & (counts > 0)
    if not usable.any() or not float(np.abs(s[finite]).max()) > 0:
        return None

    def loss(log_stretch: float) -> float:
        stretched = np.where(finite, s * math.exp(log_stretch), -np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = stretched - np.log(np.exp(stretched).sum(1, keepdims=True))
        hit = logs[np.arange(n), right][usable]
        miss = np.where(others, logs, 0.0).sum(1)[usable] / counts[usable]
        return float(-((1 - rest) * hit + rest * miss).sum())

    centre = -math.log(float(np.abs(s[finite]).mean()) or 1.0)
    return math.exp(-bounded_minimum(loss, centre - _RANGE, centre + _RANGE))
