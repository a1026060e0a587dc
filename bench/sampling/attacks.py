"""Changes that an adversary makes to labelled images, and a proof of what they cannot change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.task import Session
from bench.functional.certificates import insertions_into_votes, relabellings_of_votes, removals_of_votes
from bench.functional.classwise import class_means, class_votes, normalise
from bench.sampling.measures.groups import Certified
from bench.search import top_k
from bench.utils.errors import BenchError
from bench.utils.random import Stream

Action = Literal["add", "relabel", "delete"]
"""What is done to an image: a copy is added under a wrong class, its class is changed, or it goes."""

Chosen = Literal["random", "hubness", "collision"]
"""How images are chosen."""

_NEAREST = 10
_ROWS = 2048


def attacked(
    clean: Features, ids: Sequence[int], count: int, action: Action, chosen: Chosen, rng: Stream
) -> tuple[Features, dict[str, Any]]:
    """Return labelled images of which ``count`` are changed, and the changes for the notes.

    Raises
    ------
    BenchError
        If there are fewer images than are to be changed, or none of a class would be left.
    """
    if count > len(clean):
        raise BenchError(
            f"poison.counts has {count}, and there are {len(clean)} labelled images; ask for at most those"
        )
    if not count:
        return clean, {"poisoned": []}
    lookup = {label: column for column, label in enumerate(ids)}
    columns = torch.tensor([lookup[label] for label in clean.labels.tolist()], dtype=torch.int64)
    x = normalise(clean.x)
    means = normalise(class_means(x, columns, len(ids)))
    cosines = (x @ means.T).scatter(1, columns.unsqueeze(1), -torch.inf)
    aim = cosines.argmax(1)
    rows = _order(x, cosines, chosen, clean.ids, rng)[:count]
    wrong = aim[rows] if chosen == "collision" else _others(columns[rows], len(ids), rng)
    labels = torch.tensor(ids)[wrong]
    told = [
        [str(clean.ids[row]), clean.class_names[label]]
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
    ]
    if action == "relabel":
        every = clean.labels.clone()
        every[rows] = labels
        return replace(clean, labels=every), {"poisoned": told}
    if action == "delete":
        keep = torch.ones(len(clean), dtype=torch.bool)
        keep[rows] = False
        left = clean.take(keep)
        if len(left.labels.unique()) < 2:
            raise BenchError(f"poison.counts has {count}, which leaves images of one class; ask for fewer")
        return left, {"poisoned": [name for name, _ in told]}
    y = clean.x[rows].float()
    if chosen == "collision":
        y = normalise(normalise(y) + means[wrong]) * y.norm(dim=1, keepdim=True)
    names = np.array([f"{name} (added)" for name in clean.ids[rows.numpy()].tolist()], dtype=np.str_)
    # A copy under another class would be a query's equal if the image were; it is moved by what rounding cannot undo.
    added = Features((y * (1 + 1e-3)).to(clean.x.dtype), labels, names, clean.class_names)
    return Features.concat([clean, added]), {"poisoned": told}


def _order(x: Tensor, cosines: Tensor, chosen: Chosen, ids: np.ndarray, rng: Stream) -> Tensor:
    """Return the positions of the images, those that are changed first in front."""
    if chosen == "random":
        return torch.from_numpy(rng.child("chosen").order(ids))
    if chosen == "collision":
        return torch.sort(cosines.amax(1), descending=True, stable=True).indices
    met = torch.zeros(len(x))
    for start in range(0, len(x), _ROWS):
        near = x[start : start + _ROWS] @ x.T
        near[torch.arange(len(near)), torch.arange(start, start + len(near))] = -torch.inf
        found = near.topk(min(_NEAREST, max(1, len(x) - 1)), dim=1).indices.flatten()
        met += torch.bincount(found, minlength=len(x))
    return torch.sort(met, descending=True, stable=True).indices


def _others(columns: Tensor, n_classes: int, rng: Stream) -> Tensor:
    """Return a class for each that is not its own."""
    step = torch.from_numpy(rng.child("wrong").numpy().integers(1, n_classes, len(columns)))
    return (columns + step) % n_classes


def certificate(clean: Features, session: Session, count: int, k: int | None, action: Action) -> Certified:
    """Return which queries a vote of the k nearest clean images answers rightly, whatever ``count`` are changed so.

    None takes twice the images of the median class less one, as many as a class with all of its images still outvotes.
    Ties go to the lowest class. The rule is exact for any images and any vectors, so it bounds every attack.
    """
    task, queries = session.task, session.queries
    columns = task.columns(clean.labels)
    k = max(1, 2 * int(columns.bincount()[columns.unique()].median()) - 1) if k is None else k
    near = top_k(queries.x.float(), clean.x, k + count).positions
    voters, rank = columns[near], torch.arange(task.n_classes, device=near.device)
    ones = torch.ones(voters.shape, device=near.device)
    counts = class_votes(voters[:, :k], ones[:, :k], task.n_classes)
    right = counts.argmax(1) == task.columns(queries.labels)
    if not count:
        return Certified(right.cpu().numpy())
    if action == "relabel":
        least = relabellings_of_votes(voters, rank, k, count)
    else:
        rule = removals_of_votes if action == "delete" else insertions_into_votes
        least = rule(voters, ones, rank, k, count, counted=True)
    return Certified((right & (least > count)).cpu().numpy())
