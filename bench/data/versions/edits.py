"""Edits of a pack: items are added, removed and relabelled, and an earlier edit is undone; each is logged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.data.pack import encode_strings
from bench.data.versions.facts import facts_of
from bench.data.versions.history import History
from bench.data.versions.log import Entry
from bench.data.versions.store import Part, Version
from bench.utils.errors import BenchError, suggest
from bench.utils.names import plain


def add(
    history: History,
    x: Tensor,
    labels: Sequence[str],
    ids: Sequence[str],
    *,
    split: str | None = None,
    source: str = "",
    licence: str = "",
    reason: str = "",
) -> Entry:
    """Add items to a split.

    Parameters
    ----------
    x : Tensor [n, d]
        In the pack's space.
    labels : sequence of str
        The name of each one's class.
    split : str, optional
        Left out, the one that the pack's memory is made of, or its support.

    Raises
    ------
    BenchError
        If a class is not there, an id is there already, or the features do not fit.
    """
    name = _split(history, split)
    part = history.current.parts[name]
    columns = [_label(history, label) for label in labels]
    there = set(history.store.ids(name, part).tolist())
    for item in ids:
        if not item:
            raise BenchError("an item has an empty id; give it one")
        if item in there:
            raise BenchError(f"item {item!r} is there already; remove it first, or give another id")
        there.add(item)
    d = int(history.manifest["dimension"])
    if x.shape[1] != d:
        raise BenchError(f"features of {x.shape[1]} dimensions, the pack has {d}; encode them with its encoder")
    rows = Features(x, torch.tensor(columns), np.array(ids, dtype=np.str_), tuple(history.class_names))
    rows.check("added items")
    dtype = history.store.arrays(part.chunks[0])["x"].dtype if part.chunks else x.dtype
    new = history.store.add(
        {"x": x.to(dtype), "labels": torch.tensor(columns, dtype=torch.int32), "ids": encode_strings(list(ids))}
    )
    return history.commit(
        _with(history.current, {name: Part.concat([part, new])}),
        "add",
        len(ids),
        source=source,
        licence=licence,
        reason=reason,
        chunk=new.chunks[0],
        what=f"to {name.rpartition('/')[2]}",
    )


def remove(
    history: History,
    *,
    items: Collection[str] = (),
    classes: Collection[str] = (),
    sources: Collection[str] = (),
    reason: str = "",
) -> Entry:
    """Remove items by id, all items of some classes, and all from some sources; queries stay.

    Raises
    ------
    BenchError
        If an item, class or source is not there, or an item is a query.
    """
    gone = {_label(history, name) for name in classes}
    facts = facts_of(history.folder) if sources else None
    places = _places(history, items)
    unmet, kept, count = set(sources), {}, 0
    for name in _editable(history):
        part = history.current.parts[name]
        leaves = np.isin(part.labels.numpy(), sorted(gone))
        if items:
            leaves[[row for where, row in places if where == name]] = True
        if facts is not None:
            split = name.rpartition("/")[2]
            found = [facts.of(item).source or split for item in history.store.ids(name, part).tolist()]
            leaves |= np.isin(found, sorted(sources))
            unmet -= set(found)
        if leaves.any():
            kept[name], count = part.take(np.flatnonzero(~leaves)), count + int(leaves.sum())
    if unmet:
        raise BenchError(f"{history.folder} has no items from source {sorted(unmet)[0]!r}")
    if not count:
        raise BenchError("nothing to remove; give ids of items, --class or --source")
    said = [*sorted(items)[:8], *(f"class {name}" for name in classes), *(f"source {name}" for name in sources)]
    return history.commit(_with(history.current, kept), "remove", count, reason=reason, what=", ".join(said))


def relabel(history: History, wanted: Mapping[str, str], *, reason: str = "") -> Entry:
    """Put items under other classes, by id and name of the class.

    Raises
    ------
    BenchError
        If an item or class is not there, or an item is a query.
    """
    places = _places(history, wanted)
    changed: dict[str, Part] = {}
    for (name, row), label in zip(places, wanted.values(), strict=True):
        part = changed.get(name) or history.current.parts[name]
        labels = part.labels.clone()
        labels[row] = _label(history, label)
        changed[name] = replace(part, labels=labels)
    said = ", ".join(f"{item} to {label}" for item, label in list(wanted.items())[:8])
    return history.commit(_with(history.current, changed), "relabel", len(wanted), reason=reason, what=said)


def revert(history: History, name: str, *, reason: str = "") -> Entry:
    """Undo the edit that made a version: what it added goes, what it removed comes back, labels are as before.

    Parameters
    ----------
    name : str
        The version, or the first digits of its name.

    Raises
    ------
    BenchError
        If no edit made it, or a later edit touched one of its items.
    """
    version = history.named(name)
    made = [entry for entry in history.log if entry.version == version and entry.parent]
    if not made:
        raise BenchError(f"no edit made version {version}: the history begins with it; revert a later one")
    before, after = history.version(made[-1].parent), history.version(version)
    changes = history.diff(before, after)
    parts = dict(history.current.parts)
    for part in {change.part for change in changes}:
        ids = {item: row for row, item in enumerate(history.store.ids(part, parts[part]).tolist())}
        labels = parts[part].labels.clone()
        gone, back = [], []
        for change in (one for one in changes if one.part == part):
            there = ids.get(change.id)
            now = None if there is None else history.class_names[int(labels[there])]
            if now != change.after:
                raise BenchError(f"{change.id!r} was edited again after {version}; revert the later edit first")
            if change.change in ("added", "replaced"):
                gone.append(there)
            if change.change in ("removed", "replaced"):
                back.append(change.id)
            if change.change == "relabelled":
                labels[there] = history.class_names.index(str(change.before))
        kept = replace(parts[part], labels=labels).take(np.setdiff1d(np.arange(len(labels)), np.array(gone, dtype=int)))
        parts[part] = _restored(history, part, kept, before.parts[part], back) if back else kept
    return history.commit(
        Version(history.current.manifest, parts), "revert", len(changes), reason=reason, what=f"undoes {version}"
    )


def _restored(history: History, name: str, part: Part, before: Part, back: Collection[str]) -> Part:
    """Return a part with rows of an earlier one, each behind the row that it stood behind."""
    ids, earlier = history.store.ids(name, part).tolist(), history.store.ids(name, before).tolist()
    wanted, joined = set(back), Part.concat([part, before])
    place = {item: row for row, item in enumerate(ids)}
    behind: dict[int, list[int]] = {}
    last = -1
    for row, item in enumerate(earlier):
        if item in wanted:
            behind.setdefault(last, []).append(len(ids) + row)
        elif item in place:
            last = place[item]
    order = [*behind.get(-1, [])]
    for row in range(len(ids)):
        order += [row, *behind.get(row, [])]
    return joined.take(np.array(order, dtype=np.int64))


def _with(version: Version, parts: Mapping[str, Part]) -> Version:
    return Version(version.manifest, {**version.parts, **parts})


def _editable(history: History) -> list[str]:
    queries = {f"splits/{split}" for split in history.manifest["roles"].get("query", ())}
    return [name for name in history.current.parts if name != "prompts" and name not in queries]


def _split(history: History, split: str | None) -> str:
    """Return the part that items are added to."""
    if split is None:
        declared = (history.manifest.get("memory") or {}).get("images") or []
        own = [entry["split"] for entry in declared if not entry.get("pack")]
        own = own or list(history.manifest["roles"].get("support", ()))
        if len(own) != 1:
            raise BenchError(f"which split is to have the items? name one of {', '.join(history.manifest['splits'])}")
        split = own[0]
    if f"splits/{split}" not in history.current.parts:
        raise BenchError(f"{history.folder} has no split {split!r}{suggest(split, history.manifest['splits'])}")
    if f"splits/{split}" not in _editable(history):
        raise BenchError(f"split {split} holds the queries, which are not edited; name another with --split")
    return f"splits/{split}"


def _label(history: History, name: str) -> int:
    by_name = {plain(known): label for label, known in enumerate(history.class_names)}
    if plain(name) not in by_name:
        raise BenchError(f"{history.folder} has no class {name!r}{suggest(name, history.class_names[:1000])}")
    return by_name[plain(name)]


def _places(history: History, items: Collection[str]) -> list[tuple[str, int]]:
    """Return the part and the row of each item, which is called ``ID``, or ``SPLIT:ID`` where several have one id."""
    if not items:
        return []
    found: dict[str, list[tuple[str, int]]] = {item: [] for item in items}
    for name, part in history.current.parts.items():
        if name == "prompts":
            continue
        split = name.rpartition("/")[2]
        for row, item in enumerate(history.store.ids(name, part).tolist()):
            for called in (item, f"{split}:{item}"):
                if called in found:
                    found[called].append((name, row))
    editable = _editable(history)
    for item, places in found.items():
        if not places:
            raise BenchError(f"{history.folder} has no item {item!r}; `bench data inspect` shows what there is")
        if len(places) > 1:
            splits = ", ".join(name.rpartition("/")[2] for name, _ in places)
            raise BenchError(f"item {item!r} is in {splits}; write SPLIT:{item}")
        if places[0][0] not in editable:
            raise BenchError(f"item {item!r} is a query, and queries are not edited")
    return [places[0] for places in found.values()]
