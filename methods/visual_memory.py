"""A flexible visual memory: votes of neighbours that can be added, removed, pruned, excluded and relabelled."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.explanation import Explanation, neighbours
from bench.core.memory import Items
from bench.core.registry import method
from bench.core.state_bytes import MEMORY
from bench.core.task import Task
from bench.functional.classwise import neighbour_votes
from bench.learning.pruning import misleading_counts
from bench.learning.unlearning import named
from bench.search import Neighbours
from bench.utils.errors import BenchError
from bench.utils.random import Stream

Pruning = Literal["none", "hard", "soft"]


@dataclass(frozen=True, eq=False)
class VisualItems:
    """The items with the weight of each one's vote.

    Attributes
    ----------
    items : Items
        Its labels are the class ids that the items vote for.
    weights : float32 Tensor [m]
        1 without pruning, 0 for an item that was pruned.
    classes : tuple of int
        Class ids in column order.
    """

    items: Items
    weights: Tensor = field(metadata=MEMORY)
    classes: tuple[int, ...]

    def columns(self) -> Tensor:
        """Return the column each item votes for, int64 [m]."""
        order = torch.tensor(self.classes, device=self.items.labels.device)
        ranked = order.sort()
        return ranked.indices[torch.searchsorted(ranked.values, self.items.labels)]


@method(
    "visual-memory",
    paper="Geirhos et al., Towards Flexible Perception with Visual Memory, ICML 2025, arXiv:2408.08172",
    equation="d = 1 - cos; votes 1, exp(-d), exp((1 - d) / 0.07) or 1 / (rank + 2) of the 100 nearest items",
    needs=("images",),
    stores_items=True,
)
@dataclass(frozen=True, kw_only=True)
class VisualMemory:
    """Vote of the k nearest image items; a tie goes to the class of the nearest of the tied neighbours.

    One that pruning has silenced decides no tie.

    Attributes
    ----------
    vote : str
        ``plurality`` counts; ``distance``, ``softmax`` and ``rank`` weigh as above.
    pruning : str
        ``hard`` silences an item that is a wrong neighbour at least ``hard_count`` times when each item is classified
        by the ``k`` nearest others; ``soft`` multiplies its vote by ``soft_factor / (1 + count)`` with counts at
        ``soft_k`` neighbours; ``none`` becomes that where the task asks for it (``lifecycle``'s ``prune-soft``). Where
        all neighbours of a query are silenced, pruning is ignored.
    exclude : tuple of str
        Ids of items that are left out.
    relabel : mapping of str to int
        Ids of items and the class id that each is to vote for.
    """

    k: Annotated[int, Ge(1)] = 100
    vote: Literal["plurality", "distance", "softmax", "rank"] = "rank"
    temperature: Annotated[float, Ge(0.002)] = 0.07
    pruning: Pruning = "none"
    hard_count: Annotated[int, Ge(1)] = 128
    soft_k: Annotated[int, Ge(1)] = 10
    soft_factor: Annotated[float, Gt(0)] = 1.75
    exclude: tuple[str, ...] = ()
    relabel: Mapping[str, int] = field(default_factory=dict)

    def build(self, task: Task, *, rng: Stream) -> VisualItems:
        """Return the image items with the weights of their votes."""
        items = task.all_images
        task.columns(items.labels)  # refuses a label that is no class of the task
        state = relabelled(VisualItems(items, items.x.new_ones(len(items)).float(), task.classes), self.relabel)
        state = excluded(state, self.exclude)
        return self._weighted(state, task)

    def forget(self, state: VisualItems, task: Task, ids: Collection[str]) -> VisualItems:
        """Return the memory without the named items; what they had contributed to pruning is undone."""
        return self._weighted(_take(state, ~named(state.items, task, ids)), task)

    def score(self, state: VisualItems, queries: Tensor) -> Tensor:
        """Return votes, float64 [q, c]."""
        found = state.items.index.search(queries, self.k)
        columns, votes = state.columns()[found.positions], self._votes(state, found)
        if bool((state.weights == 0).any()):
            # Those that vote come first, so that one that is silenced decides no tie.
            order = (votes == 0).to(torch.int8).sort(dim=1, stable=True).indices
            columns, votes = columns.gather(1, order), votes.gather(1, order)
        return neighbour_votes(columns, votes, len(state.classes))

    def explain(self, state: VisualItems, task: Task, query: Tensor) -> Explanation:
        """Return the neighbours that decide one query [d], nearest first, with the weight of each one's vote."""
        found = state.items.index.search(query.unsqueeze(0), self.k)
        return Explanation(
            neighbours=neighbours(state.items, found.positions[0], found.similarities[0], self._votes(state, found)[0]),
            weights=f"votes by {self.vote}",
        )

    def describe(self, state: VisualItems) -> dict[str, Any]:
        """Return the neighbours that there really are and how many items are silenced."""
        return {"k_used": min(self.k, len(state.items)), "pruned": int((state.weights == 0).sum())}

    def _votes(self, state: VisualItems, found: Neighbours) -> Tensor:
        """Return the weight of each neighbour's vote, float64 [q, k]."""
        similarity = found.similarities.double()
        if self.vote == "plurality":
            votes = torch.ones_like(similarity)
        elif self.vote == "distance":
            votes = (similarity - 1).exp()
        elif self.vote == "softmax":
            votes = (similarity / self.temperature).exp()
        else:
            rank = torch.arange(found.k, dtype=torch.float64, device=similarity.device)
            votes = (1 / (rank + 2)).expand_as(similarity)
        weights = state.weights[found.positions]
        silenced = (weights == 0).all(1, keepdim=True)
        return votes * torch.where(silenced, 1.0, weights)

    def _weighted(self, state: VisualItems, task: Task) -> VisualItems:
        pruning = "soft" if task.soft_pruning and self.pruning == "none" else self.pruning
        if pruning == "none" or len(state.items) < 2:
            return replace(state, weights=torch.ones_like(state.weights))
        wrong = misleading_counts(state.items, self.k if pruning == "hard" else self.soft_k, state.items.index.search)
        weights = (wrong < self.hard_count).float() if pruning == "hard" else self.soft_factor / (1 + wrong).float()
        return replace(state, weights=weights)


def excluded(state: VisualItems, ids: Collection[str]) -> VisualItems:
    """Return the memory with some items left out; the weights of the others stay."""
    _require(state, ids)
    return _take(state, ~np.isin(state.items.ids, sorted(ids)))


def relabelled(state: VisualItems, labels: Mapping[str, int]) -> VisualItems:
    """Return the memory with some items voting for another class, given by class id."""
    _require(state, labels)
    for label in labels.values():
        if label not in state.classes:
            raise BenchError(f"cannot relabel an item to class {label}: it is not among the classes of the task")
    new = state.items.labels.clone()
    for name, label in labels.items():
        new[torch.from_numpy(state.items.ids == name).to(new.device)] = label
    return replace(state, items=replace(state.items, labels=new))


def _require(state: VisualItems, ids: Collection[str]) -> None:
    for name in ids:
        if name not in state.items.ids:
            raise BenchError(f"the memory holds no item {name!r} to exclude or relabel; give ids of image items")


def _take(state: VisualItems, keep: np.ndarray) -> VisualItems:
    return VisualItems(
        state.items.take(keep), state.weights[torch.from_numpy(keep).to(state.weights.device)], state.classes
    )
