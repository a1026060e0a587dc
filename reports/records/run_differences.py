"""What differs between the runs of one report, so that nothing is compared silently."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.reports.records.arrow_columns import plain
from bench.reports.records.run_table import RunTable

_NAMED = 6
"""Settings that the warning names; the table has all of them."""

_MOMENT = ("arguments", "threads")
"""Entries of the provenance that a run's own settings already say, or that shape no number."""


_READ = [
    *("run", "seed", "scenario", "scenario_params", "method", "method_name", "method_params"),
    *("dataset", "features_fingerprint", "encoder", "search", "provenance"),
]


Differences = dict[str, dict[str, list[str]]]
"""By setting and value, the runs that have it."""


def differences(run_table: RunTable) -> tuple[Differences, list[str]]:
    """Return every setting that differs between runs, and warnings; nothing where nothing differs.

    A setting that only some runs have (a parameter of a method that the others do not run) is no difference; that the
    methods, data sets and scenarios themselves differ is.
    """
    settings: Differences = {}
    for run, records in _by_run(run_table):
        manifest = next(info.manifest for info in run_table.runs if str(info.manifest["run"]) == run)
        for what, value in _settings(manifest, records):
            settings.setdefault(what, {}).setdefault(value, []).append(run)
    differing = {what: values for what, values in settings.items() if len(values) > 1}
    if not differing:
        return {}, []
    return differing, _warnings(run_table, differing)


def _by_run(run_table: RunTable) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every run with what its records say of their settings, those without answers too."""
    parts = [part[_READ].drop_duplicates() for part in (run_table.records, run_table.unanswered) if len(part)]
    for run, part in plain(pd.concat(parts, ignore_index=True)).groupby("run", sort=True):
        yield str(run), part


def _settings(manifest: Mapping[str, Any], records: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield every setting of a run with its value as text."""
    yield "seeds", _list(manifest.get("seeds") or records["seed"].unique())
    for what, column in (("scenarios", "scenario"), ("methods", "method"), ("data sets", "dataset")):
        yield what, _list(records[column].unique())
    # What an older manifest does not say is no difference.
    for what, key in (("device", "device"), ("harness code", "code"), ("schema", "schema")):
        if key in manifest:
            yield what, str(manifest[key])[:12]
    for name, column in (("method_name", "method_params"), ("scenario", "scenario_params")):
        for (recipe,), part in records.groupby([name], sort=True):
            settings = [json.loads(text) for text in sorted(part[column].unique())]
            for key in sorted({key for values in settings for key in values}):
                yield f"{recipe}.{key}", " / ".join(sorted({json.dumps(values.get(key)) for values in settings}))
    for dataset, part in records.groupby("dataset", sort=True):
        own = _own(str(dataset), part["features_fingerprint"])
        yield f"data of {own}", " / ".join(sorted({str(f)[:12] for f in part["features_fingerprint"].unique()}))
        yield f"encoder of {own}", " / ".join(sorted({str(e) for e in part["encoder"].unique()}))
    # Whatever way an exact search takes, it gives the same neighbours.
    searches = {"exact" if text.startswith("exact") else text for text in records["search"].dropna().unique()}
    if searches:
        yield "search", " / ".join(sorted(searches))
    texts = sorted(records["provenance"].dropna().unique())
    if texts:
        # A run that was stopped and went on elsewhere has several; the first stands for it.
        for key, value in sorted(json.loads(texts[0]).items()):
            if isinstance(value, dict):
                yield from ((f"{key}: {name}", str(inner)) for name, inner in sorted(value.items()))
            elif key not in _MOMENT:
                yield key.replace("_", " "), str(value)


def _own(dataset: str, fingerprints: pd.Series) -> str:
    """Return a data set's name without the start of its hash, which tells it from other data of that name."""
    apart = [f"@{str(one)[:6]}" for one in fingerprints.unique()]
    return next((dataset.removesuffix(end) for end in apart if dataset.endswith(end)), dataset)


def _list(values: Any) -> str:
    return ", ".join(str(value) for value in sorted(values))


def _warnings(run_table: RunTable, differing: Mapping[str, Any]) -> list[str]:
    named = list(differing)[:_NAMED]
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    lines = [
        f"the runs differ in {', '.join(named)}{more} (see Differences between runs); only the same queries and seeds "
        "of the same data are compared"
    ]
    by_name = run_table.records.groupby("dataset")["features_fingerprint"]
    names = [str(name) for name, prints in by_name if _own(str(name), prints) != str(name)]
    if names:
        lines.append(f"data sets of one name hold other data in other runs, so they are never compared: {_list(names)}")
    return lines
