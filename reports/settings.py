"""Settings of a scenario that tell results apart: those that the condition does not already say."""

from __future__ import annotations

import json

import pandas as pd

from reports.columns import plain, renamed

TOLD = "dealt_by"
"""The column of those settings, as JSON."""


def with_settings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the records with :data:`TOLD`: ``scenario_params`` without what stands in the condition.

    ``increment: null`` that came to ``increment 2`` is the same as ``increment: 2``, and a rate of 0.4 among three is
    the same as among two: a scenario draws each for itself. Where such cells were asked other queries after all, their
    settings stay as they are.
    """
    frame = frame.assign(**{TOLD: frame["scenario_params"]})
    kinds = plain(frame[["scenario", "dataset", "condition", "scenario_params"]].drop_duplicates())
    meeting = kinds[kinds.duplicated(["scenario", "dataset", "condition"], keep=False)]
    if meeting.empty:
        return frame
    pairs = meeting[["scenario_params", "condition"]].drop_duplicates().itertuples(index=False, name=None)
    short = {(str(params), str(condition)): _untold(str(params), str(condition)) for params, condition in pairs}
    told = renamed(frame, TOLD, "condition", short)
    asked = ["scenario", "dataset", "condition", TOLD, "seed", "session"]
    rows = plain(told[[*asked, "queries_fingerprint"]].drop_duplicates())
    apart = set(rows.loc[rows.duplicated(asked), TOLD])
    return renamed(frame, TOLD, "condition", {pair: text for pair, text in short.items() if text not in apart})


def _untold(params: str, condition: str) -> str:
    """Return parameters (JSON) without those of which the condition names the value, ``rate`` for one of ``rates``."""
    told = json.loads(condition)
    own = {k: v for k, v in json.loads(params).items() if k not in told and k.removesuffix("s") not in told}
    return json.dumps(own, sort_keys=True)
