"""Receipts for removals: what another process, which trusts nobody, checks a kept classifier against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.classifier.model import Model, fitted
from bench.core.scored import scored
from bench.core.state_parts import leaves, strings
from bench.core.task import Task
from bench.runner.identity import evaluation_fingerprint, recipe_fingerprint
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import digest
from bench.utils.json_text import parse_json
from bench.utils.recipe_fields import defaults
from bench.utils.texts import read_text

FORMAT = 1
_NEAR = 1e-4
"""Scores of a state that forgot may differ from those of one that never saw the items by this share of the largest."""


def receipt_of(before: Model, after: Model) -> dict[str, Any]:
    """Return the receipt of the last edit of a classifier, as plain values.

    It holds hashes of memory, state and code, and a hash of each removed item, of its id and its vector; so it names
    nothing that was removed to somebody who does not have it.

    Raises
    ------
    BenchError
        If nothing was removed.
    """
    held, left = _items(before.task), _items(after.task)
    gone = sorted(set(held) - set(left))
    if not gone:
        raise BenchError("nothing was removed, so that there is nothing to give a receipt for")
    receipt = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": {"name": after.method.name, "parameters": {k: str(v) for k, v in defaults(after.method).items()}},
        "removed": gone,
        "removed_vectors": sorted({held[item] for item in gone}),
        "memory": {"before": _memory(before.task), "after": _memory(after.task)},
        "state": {"before": _state(before), "after": _state(after)},
        "code": _code(after),
    }
    return {**receipt, "receipt": digest(receipt)}


def read_receipt(path: Path) -> dict[str, Any]:
    """Return a receipt; one that is damaged or newer raises :class:`BenchError`."""
    try:
        content = parse_json(read_text(path, "a receipt of `bench edit --receipt`"))
    except ValueError as error:
        raise BenchError(f"{path} is no receipt: {one_line(error)}") from None
    if not isinstance(content, dict) or not {"format", "receipt", "memory", "state", "code", "removed"} <= set(content):
        raise BenchError(f"{path} is no receipt; `bench edit CLASSIFIER forget ITEM --receipt FILE` makes one")
    if content["format"] != FORMAT:
        raise BenchError(
            f"{path} has format {content['format']!r}, this version reads {FORMAT}; update retrieval-bench"
        )
    return content


def verify(receipt: Mapping[str, Any], after: Model, before: Model | None = None) -> list[str]:
    """Return what was checked, a line each.

    The state is built again from the memory that is left, and must score every item as the kept one does.

    Parameters
    ----------
    after : Model
        The classifier as it is now.
    before : Model, optional
        As it was, from a copy: then it is checked too that what is missing is what the receipt says.

    Raises
    ------
    BenchError
        At the first thing that does not hold.
    """
    content = {key: value for key, value in receipt.items() if key != "receipt"}
    _require(digest(content) == receipt["receipt"], "it was changed after it was made")
    done = ["the receipt is whole"]
    items = _items(after.task)
    _require(_memory(after.task) == receipt["memory"]["after"], "the memory is not the one that it was given for")
    done.append(f"the memory is the one after the removal ({len(items)} items)")
    _require(_state(after) == receipt["state"]["after"], "the state is not the one that it was given for")
    done.append("the state is the one after the removal")
    gone, vectors = set(receipt["removed"]), set(receipt["removed_vectors"])
    _require(not gone & set(items), "a removed item is in the memory")
    named = {digest(name) for name in strings(after.state)}
    _require(not gone & named, "a removed item is named in the state")
    again = sum(vector in vectors for vector in items.values())
    done.append(
        f"none of the {len(gone)} removed items is there" + (f"; {again} others have its vector" if again else "")
    )
    _require(_code(after) == receipt["code"], "it was made by other code than this; verify it with that version")
    done.append("the code is the same")
    _, state = fitted(after.method, after.task, seed=after.seed, label=after.label)
    x = torch.cat([part.x.float() for part in (after.task.support, after.task.memory.images) if len(part)])
    with torch.no_grad():
        kept, anew = (scored(after.method, s, x, after.label).double() for s in (after.state, state))
    gap = float(torch.where(kept == anew, 0.0, (kept - anew).abs()).max())
    largest = float(torch.where(anew.isinf(), 0.0, anew.abs()).max())
    _require(gap <= _NEAR * max(1.0, largest), f"a state that never saw the items scores otherwise (by {gap:.3g})")
    done.append(f"a state built without the items scores the same (largest difference {gap:.2g} of {largest:.3g})")
    if before is not None:
        held = _items(before.task)
        _require(_memory(before.task) == receipt["memory"]["before"], "the memory before is not the one it tells of")
        _require(_state(before) == receipt["state"]["before"], "the state before is not the one it tells of")
        _require(set(held) - set(items) == gone, "what is missing is not what it names")
        done.append("from before to after, exactly the named items are gone")
    return done


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise BenchError(f"the receipt does not hold: {fault}")


def _items(task: Task) -> dict[str, str]:
    """Return the hash of each item's vector by the hash of its id."""
    found = {}
    for part in (task.support, task.memory.images, task.memory.texts):
        for item, x in zip(part.ids.tolist(), part.x, strict=True):
            found[digest(item)] = digest(x.float())
    return found


def _memory(task: Task) -> str:
    return digest(task.support.fingerprint, task.memory.fingerprint, task.prompts.fingerprint, list(task.class_names))


def _state(model: Model) -> str:
    parts: list[Any] = []
    for leaf in leaves(model.state):
        value = leaf.value
        parts += [leaf.path, value if isinstance(value, (torch.Tensor, np.ndarray)) else str(value)]
    return digest(*parts)


def _code(model: Model) -> str:
    return digest(evaluation_fingerprint(), recipe_fingerprint(model.method))


def as_json(receipt: Mapping[str, Any]) -> str:
    """Return a receipt as text."""
    return json.dumps(receipt, indent=1)
