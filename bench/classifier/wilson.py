"""The Wilson interval of a share."""

from __future__ import annotations

import math

Z = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def wilson(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of right answers, from 0 to 1.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927.
    """
    share, spread = correct / total, Z * Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, centre - half), min(1.0, centre + half)
