"""Exact edits of a classifier: items, classes and sources are added and removed, and each edit is logged.

After an edit the state is the one that a fit to the edited items gives: built again by the same draws, or, where items
alone were removed and the method forgets exactly, made by its own ``forget``. The calibration is made again as well, so
that nothing that is derived from a removed item stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.classifier.items import renumbered, row_ids
from bench.classifier.model import Model, calibrated, columns_of, fitted
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.protocols import Forgets
from bench.core.state_parts import move, strings
from bench.core.task import Task
from bench.data.class_names import check_class_names, clean, same_name
from bench.utils.errors import BenchError, suggest
from bench.utils.hashing import digest


def _require_new(new: Sequence[str], there: Sequence[str]) -> None:
    """Raise for names of new classes that are no text, or that differ from another only in case."""
    check_class_names(new, "new classes")
    known = {same_name(name): name for name in there}
    for name in new:
        if same_name(name) in known:
            raise BenchError(
                f"class {name!r} differs from {known[same_name(name)]!r} only in case; name that, or rename"
            )


def added(
    model: Model,
    x: Tensor,
    labels: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    source: str | None = None,
    texts: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
) -> Model:
    """Return the model with further items; labels that it does not know become new classes, behind the others.

    Parameters
    ----------
    x : Tensor [n, d]
    labels : sequence of str
        The class of each row.
    source : str, optional
        Where memory items come from. Without it the rows are labelled images of the support.
    texts : mapping of str to Tensor [d]
        The text vectors of new classes, for a model whose classes have texts.

    Raises
    ------
    BenchError
        If an id is there already, a row does not fit, the name of a new class is no text or that of another in another
        case, or a new class lacks a text that the others have.
    """
    _require_items(model)
    if len(labels) != len(x):
        raise BenchError(f"{len(x)} rows and {len(labels)} labels; give one label for every row")
    task = model.task
    labels = [name if name in model.names else clean(name) for name in labels]
    new = [name for name in dict.fromkeys(labels) if name not in model.names]
    _require_new(new, model.names)
    names = (*model.names, *new)
    column = {name: place for place, name in enumerate(names)}
    rows = Features(x, torch.tensor([column[name] for name in labels]), row_ids(len(x), ids, x), names)
    rows.check("added items")
    there = np.isin(rows.ids, _ids(task))
    if there.any():
        raise BenchError(f"item {rows.ids[there][0]!r} is there already; remove it first, or give another id")
    prompts = replace(task.prompts, class_names=names)
    if new and len(prompts):
        without = [name for name in new if name not in (texts or {})]
        if without:
            raise BenchError(
                f"class {without[0]!r} has no text and the other classes have; give its text vector, or open the "
                "classifier with its encoder"
            )
        assert texts is not None
        vectors = torch.stack([texts[name].float() for name in new])
        more = Features(
            vectors, torch.tensor([column[n] for n in new]), np.array([f"prompt/{column[n]}" for n in new]), names
        )
        more.check("texts of new classes")
        prompts = Features.concat([prompts, more])
    support, memory = replace(task.support, class_names=names), task.memory
    if source is None:
        support = Features.concat([support, rows])
    else:
        memory = memory.add(images=Items.of_features(rows, source))
    edited = replace(
        task, classes=tuple(range(len(names))), class_names=names, support=support, memory=memory, prompts=prompts
    )
    what = {"items": len(rows), "classes": new, "source": source}
    return _rebuilt(model, edited, "add", what, device)


def removed(
    model: Model,
    *,
    ids: Collection[str] = (),
    classes: Collection[str] = (),
    sources: Collection[str] = (),
    erase: bool = False,
    device: str = "cpu",
) -> Model:
    """Return the model without some items, without all items of some classes and the classes, and without some sources.

    Parameters
    ----------
    erase : bool
        Leave no name of what is removed in the log either, only hashes, and check that the state holds none.

    Raises
    ------
    BenchError
        If an item, class or source is not there, or fewer than two classes would be left.
    """
    _require_items(model)
    task = model.task
    gone_columns = set(columns_of(model.names, sorted(classes)))
    present, sourced = _ids(task), _sources(task)
    for item in ids:
        if item not in present:
            near = suggest(item, present.tolist()) if len(present) <= 10_000 else ""
            raise BenchError(f"the classifier holds no item {item!r}{near}")
    for source in sources:
        if source not in sourced:
            raise BenchError(f"the classifier holds no source {source!r}{suggest(source, sourced)}")
    if not (ids or gone_columns or sources):
        raise BenchError("nothing to remove; give ids, classes or sources")
    keep_support = ~np.isin(task.support.ids, sorted(ids)) & _of_others(task.support, gone_columns)
    if "support" in sources:
        keep_support[:] = False
    support = task.support.take(keep_support)
    memory = Memory(*(_kept(part, ids, gone_columns, sources) for part in (task.memory.images, task.memory.texts)))
    lost = sorted(
        set(present.tolist()) - {*support.ids.tolist(), *memory.images.ids.tolist(), *memory.texts.ids.tolist()}
    )
    edited = replace(task, support=support, memory=memory)
    what: dict[str, Any] = {"items": len(lost), "classes": sorted(classes), "sources": sorted(sources)}
    what |= {"ids": sorted(ids)} if len(ids) <= 100 else {"ids_hash": digest(sorted(ids))}
    if erase:
        what = {"items": len(lost), "hash": digest(lost, sorted(classes), sorted(sources))}
    if gone_columns:
        edited = renumbered(edited, [c for c in range(task.n_classes) if c not in gone_columns])
    elif isinstance(model.method, Forgets):
        state = move(model.method.forget(model.state, task, lost), "cpu")
        made = calibrated(replace(model, state=state, task=edited), device)
        model = _logged(made, "forget" if erase else "remove", {**what, "state": "forgotten"})
        return _verified(model, lost) if erase else model
    model = _rebuilt(model, edited, "forget" if erase else "remove", what, device)
    return _verified(model, lost) if erase else model


def _verified(model: Model, lost: Collection[str]) -> Model:
    """Return the model, in which no array of texts names a removed item; otherwise its state is built again."""
    if not np.isin(list(lost), list(strings(model.state))).any():
        return model
    _, state = fitted(model.method, model.task, seed=model.seed, label=model.label)
    return replace(model, state=state)


def _rebuilt(model: Model, task: Task, action: str, what: Mapping[str, Any], device: str) -> Model:
    _, state = fitted(model.method, task, seed=model.seed, label=model.label, device=device)
    made = calibrated(replace(model, state=state, task=task), device)
    return _logged(made, action, {**what, "state": "rebuilt"})


def _logged(model: Model, action: str, what: Mapping[str, Any]) -> Model:
    """Return the model with an edit in its log, which ends with a hash of the items that are there now."""
    task = model.task
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "action": action,
        **{key: value for key, value in what.items() if value not in (None, [], ())},
        "left": len(task.support) + len(task.memory),
        "items_hash": digest(task.support.fingerprint, task.memory.fingerprint)[:16],
    }
    return replace(model, log=(*model.log, entry))


def _require_items(model: Model) -> None:
    if not model.items_kept:
        raise BenchError("the classifier was kept without its items, so it cannot be edited; fit it again with them")


def _ids(task: Task) -> np.ndarray:
    return np.concatenate([task.support.ids, task.memory.images.ids, task.memory.texts.ids])


def _sources(task: Task) -> set[str]:
    found = {*task.memory.images.sources.tolist(), *task.memory.texts.sources.tolist()}
    return found | ({"support"} if len(task.support) else set())


def _of_others(rows: Features | Items, columns: Collection[int]) -> np.ndarray:
    return ~np.isin(rows.labels.numpy(), sorted(columns))


def _kept(items: Items, ids: Iterable[str], columns: Collection[int], sources: Iterable[str]) -> Items:
    gone = np.isin(items.ids, sorted(ids)) | np.isin(items.sources, sorted(sources)) | ~_of_others(items, columns)
    return items.take(~gone)
