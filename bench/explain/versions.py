"""The queries of a finished run answered from another version of its data: what changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.data.versions.facts import Facts, facts_of, folder_of, parse_names
from bench.data.versions.history import SHORT, History
from bench.explain.episodes import DealtAgain, Held, dealt_episodes
from bench.explain.rebuild import built_again, dealt_again, trained_again
from bench.explain.replay import Which
from bench.runner.handover import Handover
from bench.utils.errors import BenchError, Unsuitable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Replayed:
    """Answers before and after.

    Attributes
    ----------
    answers : DataFrame
        A row a query, method, condition and seed: ``method``, ``scenario``, ``dataset``, ``condition``, ``seed``,
        ``query``, ``label``, ``before`` and ``after`` (class ids).
    versions : mapping of str to tuple of str
        By data set, the version that the run had and the one it was answered from, with what was left out of it.
    without : tuple of str
        A line for each method that cannot answer from the other version.
    """

    answers: pd.DataFrame
    versions: dict[str, tuple[str, str]]
    without: tuple[str, ...]


def replay(
    folder: Path,
    which: Which | None = None,
    *,
    version: str | None = None,
    as_of: str | None = None,
    without: Sequence[str] = (),
    data: str | Path | Dataset | None = None,
    device: str = "cpu",
) -> Replayed:
    """Return what the methods of a run answer to its last queries from another version of the data.

    The episode is dealt from the other version, by the same draws, and states are built from it, as if the run had been
    made with it; its queries must come out the same.

    Parameters
    ----------
    folder : Path
        The run's folder.
    which : Which, optional
        Which methods, conditions and seeds.
    version : str, optional
        The first digits of a version of the pack's history.
    as_of : str, optional
        A day or time: the version that there was then.
    without : sequence of str
        ``KIND:NAME``, with the kinds of :data:`bench.data.versions.facts.KINDS`: items that are left out; queries stay.
    data : optional
        The data set, where its name no longer leads to it.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    BenchError
        If there is no such version, nothing is named, no item is meant, or the queries would not be the same.
    """
    import pandas as pd

    if version is not None and as_of is not None:
        raise BenchError("--version and --as-of both name a version; give one of them")
    if version is None and as_of is None and not without:
        raise BenchError("what is to be different? give --version, --as-of or --without")
    others: dict[str, tuple[Dataset, str]] = {}
    versions: dict[str, tuple[str, str]] = {}
    parts: list[pd.DataFrame] = []
    lacking: list[str] = []
    for dealt in dealt_episodes(folder, which or Which(), data=data, device=device):
        name = dealt.dataset.name
        if name not in others:
            others[name] = _other(data if data is not None else name, dealt.dataset, version, as_of, without)
            versions[name] = dealt.dataset.fingerprint[:SHORT], others[name][1]
        for label in dealt.rows["method"]:
            held = dealt.held(label)
            dealt.require_recorded(held)
            try:
                after = _after(dealt, held, others[name][0])
            except Unsuitable as error:
                lacking.append(f"{label}: {error}")
                continue
            queries = dealt.session.queries
            answers = {"before": held.predictions(queries.x), "after": after}
            table = {"query": queries.ids, "label": queries.labels.cpu().numpy(), **answers}
            parts.append(pd.DataFrame({"method": label, **dealt.about, **table}))
    if not parts:
        raise BenchError(f"no method can answer from the other version ({'; '.join(sorted(set(lacking)))})")
    return Replayed(pd.concat(parts, ignore_index=True), versions, tuple(sorted(set(lacking))))


def _after(dealt: DealtAgain, held: Held, other: Dataset) -> np.ndarray:
    """Return what a method answers from another version, int64 [q]."""
    episode = dealt_again(dealt.scenario, other, dealt.rows.iloc[0].to_dict(), dealt.manifest).to(dealt.device)
    if (
        len(episode.sessions) <= dealt.number
        or episode.sessions[dealt.number].queries.fingerprint != dealt.session.queries.fingerprint
    ):
        raise BenchError(
            f"{dealt.about['scenario']} asks other queries of the other version, so that its answers cannot be paired; "
            "leave out what its queries depend on"
        )
    handover = Handover(episode, int(dealt.about["seed"]))
    method = trained_again(held.given, handover, held.rng, dealt.folder, held.row, anew=True)
    state = built_again(method, handover, dealt.number, held.rng, held.label)
    return replace(held, method=method, state=state).predictions(dealt.session.queries.x)


def _other(
    wanted: str | Path | Dataset, now: Dataset, version: str | None, as_of: str | None, without: Sequence[str]
) -> tuple[Dataset, str]:
    """Return the data set to answer from, and what it is called."""
    name = now.fingerprint[:SHORT]
    dataset = now
    if version is not None or as_of is not None:
        folder = folder_of(wanted)
        if folder is None:
            raise BenchError(f"{now.name} is no pack and has no history; give --without")
        history = History(folder)
        name = history.named(version) if version is not None else history.as_of(str(as_of))
        dataset = history.dataset(history.version(name))
    if without:
        dataset, gone = excluded(dataset, facts_of(wanted), without)
        name = f"{name} without {', '.join(without)} ({gone} items)"
    return dataset, name


def excluded(dataset: Dataset, facts: Facts, without: Sequence[str]) -> tuple[Dataset, int]:
    """Return a data set without some items of memory, support and validation, and how many are gone.

    Raises
    ------
    BenchError
        If a name means no item.
    """
    wanted = parse_names(without)
    unmet, gone = set(without), 0

    def kept(rows: Items | Features, source: str) -> np.ndarray:
        nonlocal gone
        names = np.asarray(dataset.class_names)[rows.labels.cpu().numpy()]
        known = [facts.of(item) for item in rows.ids.tolist()]
        sources = rows.sources if isinstance(rows, Items) else np.full(len(rows), source)
        columns = {
            "item": rows.ids,
            "class": names,
            "keyword": np.array([fact.keyword or name for fact, name in zip(known, names.tolist(), strict=True)]),
            "source": np.array([fact.source or own for fact, own in zip(known, sources.tolist(), strict=True)]),
            "licence": np.array([fact.licence for fact in known]),
        }
        leaves = np.zeros(len(rows), dtype=bool)
        for line, (kind, name) in zip(without, wanted, strict=True):
            here = columns[kind] == name
            if kind == "source":
                here = here | (sources == name)
            if here.any():
                unmet.discard(line)
            leaves |= here
        gone += int(leaves.sum())
        return ~leaves

    queries = set(dataset.roles.get("query", ()))
    splits = {name: rows if name in queries else rows.take(kept(rows, name)) for name, rows in dataset.splits.items()}
    # Items of a memory that is made of splits are counted once.
    of_splits, gone = gone, 0
    memory = Memory(*(items.take(kept(items, "")) for items in (dataset.memory.images, dataset.memory.texts)))
    if unmet:
        raise BenchError(f"{dataset.name} has no item that is meant by {sorted(unmet)[0]!r}; queries do not count")
    return replace(dataset, splits=splits, memory=memory), max(of_splits, gone)
