"""Reconstruction of a finished run: the selected answer, its data, its recipes, its episode."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.dataset import Dataset
from bench.core.registry import Registry
from bench.core.task import Episode
from bench.data.registry import encoded_packs, resolve
from bench.data.versions.facts import folder_of
from bench.data.versions.history import SHORT, History
from bench.explain.interventions import nearest
from bench.results.checks import require_agreement
from bench.results.run_folder import read_predictions, read_records
from bench.runner.recipes import LabelledRecipe
from bench.utils.errors import BenchError, suggest
from bench.utils.params import make

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Which:
    """Which answers of a run to explain; what is None is the first that the query occurs in.

    Attributes
    ----------
    session : int or None
        The last of those that asked the query, if None.
    condition : mapping
        Values of the scenario's condition, as text.
    """

    methods: tuple[str, ...] = ()
    seed: int | None = None
    session: int | None = None
    scenario: str | None = None
    dataset: str | None = None
    condition: Mapping[str, str] | None = None


def finished(folder: Path, which: Which) -> pd.DataFrame:
    """Return the records of the finished cells that are meant, a row a session.

    Raises
    ------
    BenchError
        If nothing is finished, or the run has no such method, scenario, data set, seed or condition.
    """
    records = read_records(folder)
    records = records[records["status"] == "ok"]
    if records.empty:
        raise BenchError(f"{folder} has no finished cell yet; go on with the same `bench run`")
    for column, value in (("scenario", which.scenario), ("dataset", which.dataset), ("seed", which.seed)):
        if value is not None:
            known = records[column].unique().tolist()
            if value not in known:
                raise BenchError(f"the run has no {column} {value!r}{suggest(str(value), map(str, known))}")
            records = records[records[column] == value]
    for name in which.methods:
        known = records["method"].unique().tolist()
        if name not in known:
            raise BenchError(f"the run has no method {name!r}{suggest(name, known)}")
    if which.methods:
        records = records[records["method"].isin(which.methods)]
    for key, text in (which.condition or {}).items():
        values = records["condition"].map(lambda c, key=key: _as_text(json.loads(c).get(key)))
        if text not in set(values):
            raise BenchError(f"no condition of the run has {key} = {text}{suggest(text, set(values))}")
        records = records[values == text]
    return records


def select(folder: Path, queries: Sequence[str], which: Which) -> tuple[pd.DataFrame, dict[tuple[str, str], int]]:
    """Return the records of one episode and session that asked the queries, a row a method, and the predictions.

    The predictions are class ids, by cell and query.
    """
    records = finished(folder, which)
    asked = read_predictions(folder, sorted(records["cell"].unique()))
    require_agreement(records, asked, folder)
    for query in queries:
        if not (asked["query"] == query).any():
            raise BenchError(f"the run has no query {query!r}{nearest(query, asked['query'].unique().tolist())}")
    at = asked[asked["query"] == queries[0]]
    if which.session is not None and not (at["session"] == which.session).any():
        sessions = ", ".join(str(n) for n in sorted(at["session"].unique()))
        raise BenchError(f"session {which.session} did not ask {queries[0]!r}; these did: {sessions}")
    at = at if which.session is None else at[at["session"] == which.session]
    rows = records.merge(at[["cell", "session"]], on=["cell", "session"])
    keys = ["scenario", "dataset", "condition", "seed"]
    first = rows.sort_values([*keys, "session"], kind="stable").iloc[0]
    for key in keys:
        rows = rows[rows[key] == first[key]]
    rows = rows[rows["session"] == rows["session"].max()].sort_values("method")
    there = asked[asked["cell"].isin(rows["cell"]) & (asked["session"] == rows["session"].iloc[0])]
    there = there[there["query"].isin(queries)]
    for query in queries:
        if not (there["query"] == query).any():
            raise BenchError(f"{query!r} was not asked where {queries[0]!r} was; explain it on its own")
    names = zip(there["cell"], there["query"], strict=True)
    return rows, dict(zip(names, there["prediction"].astype(int), strict=True))


def _as_text(value: Any) -> str:
    return "none" if value is None else str(value)


def _encoded(name: str, row: Mapping[str, Any]) -> Dataset | None:
    """Return the pack of the cache that has a name and made a record; None if there is none."""
    for folder in encoded_packs(name):
        try:
            dataset = resolve(folder)
        except BenchError:
            continue
        if dataset.fingerprint == row["features_fingerprint"]:
            return dataset
    return None


def _earlier(wanted: str | Path | Dataset, fingerprint: str) -> Dataset | None:
    """Return the version of a pack that a record was made with; None if its history has none."""
    folder = folder_of(wanted)
    if folder is None:
        return None
    history = History(folder)
    if all(entry.version != fingerprint[:SHORT] for entry in history.log):
        return None
    found = history.dataset(history.version(fingerprint[:SHORT]))
    return found if found.fingerprint == fingerprint else None


def same_data(wanted: str | Path | Dataset, row: Mapping[str, Any]) -> Dataset:
    """Return the data set that a record was made with; one with another fingerprint raises :class:`BenchError`.

    A name may also be that of images which ``bench run --encoder`` encoded: their packs lie in the cache. A pack that
    was changed since by ``bench memory`` is taken as it was.
    """
    try:
        dataset = resolve(wanted)
    except BenchError as error:
        found = _encoded(str(wanted), row)
        if found is not None:
            return found
        raise BenchError(f"{error}; or name the pack of this run with --data") from None
    if dataset.fingerprint != row["features_fingerprint"]:
        earlier = _earlier(wanted, str(row["features_fingerprint"]))
        if earlier is not None:
            return earlier
        raise BenchError(
            f"data set {dataset.name} is not what the run was made with (fingerprint {dataset.fingerprint[:12]}, the "
            f"run has {str(row['features_fingerprint'])[:12]}); name the right pack with --data, or run again"
        )
    return dataset


def identity_of(manifest: Mapping[str, Any], kind: str, label: str) -> Mapping[str, Any]:
    """Return how the run's manifest describes a method or scenario."""
    for entry in manifest.get(kind, []):
        if entry["label"] == label:
            return dict(entry)
    raise BenchError(f"the run's run.json does not describe {label!r}; run again with this version")


def recipe_of(manifest: Mapping[str, Any], kind: str, registry: Registry, label: str) -> LabelledRecipe:
    """Return a method or scenario with the parameters it had in the run."""
    identity = identity_of(manifest, kind, label)
    entry = registry.get(str(identity["name"]))
    return LabelledRecipe(label, make(entry.cls, label, identity["params"]))


def session_number(episode: Episode, session: int, fingerprint: str, folder: Path) -> int:
    """Return the place of a session in an episode; its queries must be those the run had."""
    numbers = [n for n, s in enumerate(episode.sessions) if s.task.session == session]
    if not numbers or episode.sessions[numbers[0]].queries.fingerprint != fingerprint:
        raise BenchError(
            f"{folder} was dealt by other code: its queries come out differently now; run again with this version"
        )
    return numbers[0]
