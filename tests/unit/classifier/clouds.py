"""Labelled points around a few centres, as arrays."""

from __future__ import annotations

import numpy as np

from bench.utils.random import Stream

D = 12


def clouds(per_class: int = 10, *, spread: float = 1.0, purpose: str = "points", classes: str = "abcd") -> tuple:
    """Return features [n, D] and labels [n]; the centres do not depend on the purpose."""
    centres = Stream(0).child("centres").numpy().standard_normal((26, D))[: len(classes)] * 2
    noise = Stream(1).child(purpose).numpy().standard_normal((len(classes) * per_class, D)) * spread
    return np.repeat(centres, per_class, axis=0) + noise, np.repeat(list(classes), per_class)
