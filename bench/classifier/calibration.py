"""Probabilities that mean what they say: one temperature, from labelled images that were held out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.functional.temperature import fitted_temperature

SHARE = 0.2
"""Of the labelled images of each class that are held out, at least one and at most half."""
CONFIDENCES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""At which the card says how many images are answered, and how many of the answers are right."""


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

    See :func:`bench.functional.temperature.fitted_temperature`.

    Parameters
    ----------
    scores : Tensor [n, c]
        Of images that the classifier did not see; minus infinity for a class that cannot be answered.
    columns : int64 Tensor [n]
        The right column of each.
    """
    n = len(scores)
    if not n:
        return Calibration()
    temperature = fitted_temperature(scores, columns) or 1.0
    p = probabilities(scores, temperature)
    # The prediction is that of the scores: at a small temperature several probabilities may round to one.
    best = scores.argmax(1)
    confidence, hits = p.gather(1, best[:, None])[:, 0], best == columns
    curve = tuple((c, int((confidence >= c).sum()), int(hits[confidence >= c].sum())) for c in CONFIDENCES)
    return Calibration(temperature=temperature, images=n, correct=int(hits.sum()), curve=curve)
