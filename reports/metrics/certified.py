"""Certified accuracy: the share of queries that so many edits of a memory cannot take away."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def certified_accuracy(certificates: pd.DataFrame, numbers: Sequence[int]) -> pd.DataFrame:
    """Return the share of queries that are answered rightly whatever so many edits, mean over seeds.

    Parameters
    ----------
    certificates : DataFrame
        What `bench certify` writes.
    numbers : sequence of int
        Numbers of edits; 0 is the accuracy.

    Returns
    -------
    DataFrame
        A row a method, data set, condition and edit: the shares, a column a number, and ``exact``, the share of
        certificates that are exact.
    """
    keys = ["scenario", "dataset", "condition", "edit", "method"]
    tables = {r: certificates["correct"] & (certificates["least"] > r) for r in numbers}
    shares = pd.DataFrame(tables).assign(exact=certificates["exact"])
    by_seed = pd.concat([certificates[[*keys, "seed"]], shares], axis=1).groupby([*keys, "seed"], sort=False).mean()
    return by_seed.groupby(level=keys, sort=False).mean().reset_index()
