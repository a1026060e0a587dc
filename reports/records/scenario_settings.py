"""Settings of a scenario that tell results apart: those that the condition does not already say."""

from __future__ import annotations

import json

import pandas as pd

from bench.reports.records.arrow_columns import plain, renamed

TOLD = "dealt_by"
"""The column of those settings, as JSON."""


VALUES_OF = {"sizes": ("items",), "pairs": ("trained", "tested")}
"""By swept parameter, where a condition has its values, if not under its name or its singular."""


def with_settings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the records with :data:`TOLD`: ``scenario_params`` without what stands in the condition.

    ``increment: null`` that came to ``increment 2`` is the same as ``increment: 2``, and a rate of 0.4 among three is
    the same as among two: a scenario draws each for itself. Where such cells were asked other queries after all, the
    settings of their runs stay as they are, in all conditions.
    """
    frame = frame.assign(**{TOLD: frame["scenario_params"]})
    about = ["scenario", "dataset", "features_fingerprint", "condition"]
    kinds = plain(frame[["scenario", "dataset", "condition", "scenario_params"]].drop_duplicates())
    meeting = set(kinds.loc[kinds.duplicated(["scenario", "dataset", "condition"]), "scenario"])
    if not meeting:
        return frame
    # Of all conditions, those that do not meet too: a run must not have two names.
    own = kinds.loc[kinds["scenario"].isin(meeting), ["scenario_params", "condition"]].drop_duplicates()
    pairs = [(str(params), str(condition)) for params, condition in own.itertuples(index=False, name=None)]
    short = {pair: _untold(*pair) for pair in pairs}
    labelled = renamed(frame, TOLD, "condition", short)
    asked = [*about, TOLD, "seed", "session"]
    rows = plain(labelled[[*asked, "scenario_params", "queries_fingerprint"]].drop_duplicates())
    unlike = rows.groupby(asked, observed=True)["queries_fingerprint"].transform("nunique") > 1
    apart = set(rows.loc[unlike, "scenario_params"])
    return renamed(frame, TOLD, "condition", {pair: text for pair, text in short.items() if pair[0] not in apart})


def _untold(params: str, condition: str) -> str:
    """Return parameters (JSON) without those of which the condition names the value, ``rate`` for one of ``rates``."""
    values = json.loads(condition)

    def said(name: str) -> bool:
        return any(key in values for key in (name, name.removesuffix("s"), *VALUES_OF.get(name, ())))

    return json.dumps({name: value for name, value in json.loads(params).items() if not said(name)}, sort_keys=True)
