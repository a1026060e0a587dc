"""Methods that look at more than one query at a time: marked by their names wherever they stand."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from bench.reports.records.arrow_columns import renamed

MANY = ("stream", "set")
"""What a record says of such a method; one that answers each query for itself has ``query``."""


def mark_sees(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the records with what it sees in the name of every method that looks at more than one query."""
    pairs = frame.loc[frame["sees"].isin(MANY), ["method", "sees"]].astype("str").drop_duplicates()
    names = {(name, sees): f"{name}({sees})" for name, sees in pairs.itertuples(index=False, name=None)}
    return renamed(frame, "method", "sees", names) if names else frame


def seen_by(method: str) -> str:
    """Return what a method with a marked name looks at."""
    return next((kind for kind in MANY if method.endswith(f"({kind})")), "query")


def unmarked(method: str) -> str:
    """Return a method's name without the mark."""
    kind = seen_by(method)
    return method if kind == "query" else method.removesuffix(f"({kind})")


def marked(name: str, methods: Collection[str]) -> str:
    """Return the name under which a method stands among marked ones, whether it was named with its mark or not."""
    return next((method for method in methods if method != name and unmarked(method) == name), name)
