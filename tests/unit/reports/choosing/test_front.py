"""The front of accuracy and cost."""

import pandas as pd

from bench.reports.choosing.front import front


def test_front_keeps_what_nothing_beats():
    cost = pd.Series([1.0, 2, 3, 3, 1]).to_numpy()
    accuracy = pd.Series([0.5, 0.6, 0.6, 0.9, 0.4]).to_numpy()
    assert front(cost, accuracy).tolist() == [True, True, False, True, False]
