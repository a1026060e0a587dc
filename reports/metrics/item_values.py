"""What the items of a memory are worth together, by source, class, keyword or licence."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

GROUPS = ("source", "class", "keyword", "licence", "item")
"""What values are added up over."""


def by_group(values: pd.DataFrame, group: str) -> pd.DataFrame:
    """Return what the items of each source or class are worth together, mean over seeds, the least first.

    Parameters
    ----------
    values : DataFrame
        What `bench value` writes.
    group : str
        One of :data:`GROUPS`.

    Returns
    -------
    DataFrame
        ``items``, ``shapley`` (their sum), ``each`` (their mean), ``margin`` (its mean) and ``misplaced`` (the share
        of items with a margin below 0).
    """
    keys: Sequence[str] = ["scenario", "dataset", "condition", group]
    told = values.assign(misplaced=(values["margin"] < 0).where(values["margin"].notna()).astype(float))
    by_seed = told.groupby([*keys, "seed"], sort=False).agg(
        items=("item", "size"),
        shapley=("shapley", "sum"),
        each=("shapley", "mean"),
        margin=("margin", "mean"),
        misplaced=("misplaced", "mean"),
    )
    mean = by_seed.groupby(level=list(keys), sort=False).mean().reset_index()
    return mean.sort_values(["scenario", "dataset", "condition", "each"], kind="stable", ignore_index=True)
