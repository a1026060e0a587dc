"""The bundled digits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bench.data import digits


def test_digits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_digits()
    read = digits.digit_images()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    for images, targets in (read, digits.digit_images()):
        np.testing.assert_array_equal(images, expected.images)
        np.testing.assert_array_equal(targets, expected.target)
