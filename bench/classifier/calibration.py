"""Probabilities that mean what they say: one temperature, from labelled images that were held out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SHARE = 0.2
"""Of the labelled images of each class that are held out, at least one and at most half."""
CONFIDENCES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""At which the card says how many images are answered, and how many of the answers are right."""
_RANGE = 16.0
"""Natural logarithm of the largest factor by which scores are stretched or shrunk."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How scores become probabilities: ``softmax(scores / temperature)``.

    Attributes
    ----------
    temperature : float
        1 leaves the method's own scale.
    images : int
        Held-out images it was fitted on; 0 if there were none, and then nothing is calibrated.
    correct : int
        How many of them a classifier that had not seen them answered correctly.
    curve : tuple of (float, int, int)
        For each of :data:`CONFIDENCES`, how many of them have at least this confidence, and how many of these answers
        are right.
    """

    temperature: float = 1.0
    images: int = 0
    correct: int = 0
    curve: tuple[tuple[float, int, int], ...] = ()


def probabilities(scores: Tensor, temperature: float) -> Tensor:
    """Return softmax(scores / temperature), float64 [q, c]; a row of minus infinity is as likely for all classes."""
    found = (scores.double() / temperature).softmax(dim=1)
    nothing = torch.isneginf(scores).all(dim=1)
    found[nothing] = 1 / scores.shape[1]
    return found


def calibrate(scores: Tensor, columns: Tensor) -> Calibration:
    """Return the temperature under which held-out images are likeliest.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599, section 4.2, with the targets of
    Platt, Probabilistic Outputs for Support Vector Machines, 1999: of n images the right class counts (n + 1)/(n + 2)
    and the others share the rest, so that a few images that are all answered correctly do not make it certain.

    Parameters
    ----------
    scores : Tensor [n, c]
        Of images that the classifier did not see; minus infinity for a class that cannot be answered.
    columns : int64 Tensor [n]
        The right column of each.
    """
    # It takes longer to import than to load a classifier, which needs none of it.
    from scipy.optimize import minimize_scalar

    n = len(scores)
    if not n:
        return Calibration()
    s, right = scores.double().numpy(), columns.numpy()
    finite = np.isfinite(s)
    # Differences to the largest score, so that any stretch can be applied without overflow.
    with np.errstate(invalid="ignore"):
        s = np.where(finite, s - np.where(finite, s, -np.inf).max(1, keepdims=True), -np.inf)
    rest = 1 / (n + 2)
    others = finite.copy()
    others[np.arange(n), right] = False
    counts = others.sum(1)
    usable = finite[np.arange(n), right] & (counts > 0)

    def loss(log_stretch: float) -> float:
        stretched = np.where(finite, s * math.exp(log_stretch), -np.inf)
        logs = stretched - np.log(np.exp(stretched).sum(1, keepdims=True))
        hit = logs[np.arange(n), right][usable]
        miss = np.where(others, logs, 0.0).sum(1)[usable] / counts[usable]
        return float(-((1 - rest) * hit + rest * miss).sum())

    temperature = 1.0
    if usable.any() and float(np.abs(s[finite]).max()) > 0:
        scale = float(np.abs(s[finite]).mean()) or 1.0
        centre = -math.log(scale)
        found = minimize_scalar(loss, bounds=(centre - _RANGE, centre + _RANGE), method="bounded")
        temperature = math.exp(-float(found.x))
    p = probabilities(scores, temperature)
    # The prediction is that of the scores: at a small temperature several probabilities may round to one.
    best = scores.argmax(1)
    confidence, hits = p.gather(1, best[:, None])[:, 0], best == columns
    curve = tuple((c, int((confidence >= c).sum()), int(hits[confidence >= c].sum())) for c in CONFIDENCES)
    return Calibration(temperature=temperature, images=n, correct=int(hits.sum()), curve=curve)
