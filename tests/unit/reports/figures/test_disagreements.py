"""Maps of who is right where the other is wrong: nothing of them is cut off."""

from __future__ import annotations

import re

import numpy as np

from bench.reports.figures.disagreements import maps
from bench.reports.records.paired_predictions import Group, PairedPredictions


def answered(wrong: slice) -> PairedPredictions:
    """A cell that answers all of a thousand queries rightly but these."""
    right = np.ones(1000, dtype=bool)
    right[wrong] = False
    ids, labels = np.array([f"q{i:04}" for i in range(1000)], dtype=object), np.zeros(1000, dtype=np.int64)
    ranks, sets = np.where(right, 0, 1), np.full(1000, np.nan)
    return PairedPredictions(ids, labels, ranks, right, np.ones(1000), ranks, sets, "f")


def drawn(**wrong: slice) -> str:
    (figure,) = maps([Group("s", "d", "{}", {name: {0: answered(which)} for name, which in wrong.items()})])
    return figure.svg.decode()


def test_the_label_beside_long_names_is_within_the_figure() -> None:
    names = {"gda (images only)": slice(0, 18), "icarl": slice(0, 65), "knn": slice(10, 65), "slda": slice(40, 70)}
    (x,) = re.findall(r'x="([0-9.-]+)"[^>]*>is right<', drawn(**names, protonet=slice(30, 78)))
    assert float(x) > 8, "a line of letters ends there"


def test_methods_that_never_disagree_have_the_colour_of_nothing() -> None:
    svg = drawn(a=slice(0, 5), b=slice(0, 5))
    assert ">0.0<" in svg
    assert "\N{MINUS SIGN}" not in svg, "no share is below nothing"
