"""A flexible visual memory: votes of neighbours that can be added, removed, pruned, excluded and relabelled."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.certificate import Certificate, Edit
from bench.core.explanation import Explanation, neighbours
from bench.core.memory import Items
from bench.core.registry import method
from bench.core.state_bytes import MEMORY
from bench.core.task import Task
from bench.functional.certificates_of_heads import one_removal
from bench.functional.classwise import neighbour_votes
from bench.learning.pruning import misleading_counts
from bench.learning.unlearning import named
from bench.search import Neighbours
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.random import Stream

Pruning = Literal["none", "hard", "soft"]


@dataclass(frozen=True, eq=False)
class VisualItems:
    """The items with the weight of each one's vote.

    Attributes
    ----------
    items : Items
        Its labels are the class ids that the items vote for.
    weights : float64 Tensor [m]
        1 without pruning, 0 for an item that was pruned. Not float32, in which 3 x 1.75 / 3 is not 1.75 and a tie is
        none.
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
    """Vote of the k nearest image items, scanned from the nearest on; the class that first reaches the most wins.

    The rules are those of the authors' notebook (google-deepmind/visual-memory, commit d379c10,
    code/main_analysis_plots.ipynb), but for two slips of it: after hard pruning its ``distance`` and ``softmax`` votes
    weigh a neighbour by the distance of another one, and its class 0 can never be the answer of a pruned vote. Its
    soft pruning is there for plurality and rank alone; here it multiplies every vote.

    Attributes
    ----------
    vote : str
        ``plurality`` counts; ``distance``, ``softmax`` and ``rank`` weigh as above.
    pruning : str
        ``hard`` leaves out an item that is a wrong neighbour at least ``hard_count`` times when each item is looked up
        among the ``hard_k`` nearest others, whatever ``k`` votes; ranks are counted over the neighbours that are left,
        and no farther item takes a pruned one's place. Where all of the ``hard_k`` nearest are pruned, pruning is
        ignored; where only the ``k`` that vote are, the nearest of them answers alone. ``soft`` multiplies an item's
        vote by ``soft_factor / (1 + count)`` with counts at ``soft_k`` neighbours; one that was never wrong has a
        weight of 1. ``none`` becomes that where the task asks for it (``lifecycle``'s ``prune-soft``).
    exclude : tuple of str
        Ids of items that are left out.
    relabel : mapping of str to int
        Ids of items and the class id that each is to vote for.
    """

    k: Annotated[int, Ge(1)] = 100
    vote: Literal["plurality", "distance", "softmax", "rank"] = "rank"
    temperature: Annotated[float, Ge(0.002)] = 0.07
    pruning: Pruning = "none"
    hard_k: Annotated[int, Ge(1)] = 100
    hard_count: Annotated[int, Ge(1)] = 128
    soft_k: Annotated[int, Ge(1)] = 10
    soft_factor: Annotated[float, Gt(0)] = 1.75
    exclude: tuple[str, ...] = ()
    relabel: Mapping[str, int] = field(default_factory=dict)

    def build(self, task: Task, *, rng: Stream) -> VisualItems:
        """Return the image items with the weights of their votes."""
        items = task.all_images
        task.columns(items.labels)  # refuses a label that is no class of the task
        weights = torch.ones(len(items), dtype=torch.float64, device=items.x.device)
        state = relabelled(VisualItems(items, weights, task.classes), self.relabel)
        state = excluded(state, self.exclude)
        return self._weighted(state, task)

    def forget(self, state: VisualItems, task: Task, ids: Collection[str]) -> VisualItems:
        """Return the memory without the named items; what they had contributed to pruning is undone."""
        return self._weighted(_take(state, ~named(state.items, task, ids)), task)

    def score(self, state: VisualItems, queries: Tensor) -> Tensor:
        """Return votes, float64 [q, c]."""
        found, votes = self._votes(state, queries)
        return neighbour_votes(state.columns()[found.positions], votes, len(state.classes))

    def explain(self, state: VisualItems, task: Task, query: Tensor) -> Explanation:
        """Return the neighbours that decide one query [d], nearest first, with the weight of each one's vote."""
        found, votes = self._votes(state, query.unsqueeze(0))
        return Explanation(
            neighbours=neighbours(state.items, found.positions[0], found.similarities[0], votes[0]),
            weights=f"votes by {self.vote}",
        )

    def describe(self, state: VisualItems) -> dict[str, Any]:
        """Return the neighbours that there really are and how many items are silenced."""
        return {"k_used": min(self.k, len(state.items)), "pruned": int((state.weights == 0).sum())}

    def _votes(self, state: VisualItems, queries: Tensor) -> tuple[Neighbours, Tensor]:
        """Return the k nearest neighbours with the weight of each one's vote, float64 [q, k]."""
        pruned = bool((state.weights == 0).any())
        found = state.items.index.search(queries, max(self.k, self.hard_k) if pruned else self.k)
        weights = state.weights[found.positions]
        if pruned:
            weights = torch.where((weights == 0).all(1, keepdim=True), 1.0, weights)[:, : self.k]
            none_left = (weights == 0).all(1)
            weights[:, 0] = torch.where(none_left, 1.0, weights[:, 0])
            found = found.first(self.k)
        return found, self._weighed(found.similarities.double(), weights)

    def _weighed(self, similarity: Tensor, weights: Tensor) -> Tensor:
        """Return the votes of neighbours, nearest first, whose items count for ``weights``, float64 [q, k]."""
        if self.vote == "plurality":
            votes = torch.ones_like(similarity)
        elif self.vote == "distance":
            votes = (similarity - 1).exp()
        elif self.vote == "softmax":
            votes = (similarity / self.temperature).exp()
        else:
            left = (weights > 0).double()
            votes = 1 / (left.cumsum(1) - left + 2)
        return votes * weights

    def certify(self, state: VisualItems, task: Task, queries: Tensor, edit: Edit, most: int) -> Certificate:
        """Return where one item that leaves changes an answer, by counting again; of others that they stand one."""
        if edit != "remove":
            raise Unsuitable("of its votes there is a rule for removed items alone")
        if self.pruning != "none" or not bool((state.weights == 1).all()):
            raise Unsuitable("an item that leaves a pruned memory changes which others are pruned")
        found = state.items.index.search(queries, self.k + 1)
        if not all(name.startswith("exact") for name in found.by):
            raise Unsuitable("an approximate search may miss items, so that nothing is certain; search exactly")
        columns, n = state.columns()[found.positions], len(state.classes)
        width = columns.shape[1]
        voters = min(self.k, width)
        # Row j has all but the j-th neighbour, as many as vote.
        others = torch.stack([torch.arange(width) + (torch.arange(width) >= j) for j in range(voters)])
        others = others[:, : min(self.k, width - 1)].to(columns.device)

        def after(rows: slice) -> Tensor:
            near, similar = columns[rows][:, others], found.similarities[rows].double()[:, others]
            near, similar = near.flatten(0, 1), similar.flatten(0, 1)
            votes = neighbour_votes(near, self._weighed(similar, torch.ones_like(similar)), n)
            return votes.view(-1, voters, n)

        return Certificate(*one_removal(self.score(state, queries), after, voters, most, counted=True))

    def _weighted(self, state: VisualItems, task: Task) -> VisualItems:
        pruning = "soft" if task.soft_pruning and self.pruning == "none" else self.pruning
        if pruning == "none" or len(state.items) < 2:
            return replace(state, weights=torch.ones_like(state.weights))
        k = self.hard_k if pruning == "hard" else self.soft_k
        wrong = misleading_counts(state.items, k, state.items.index.search).double()
        if pruning == "hard":
            return replace(state, weights=(wrong < self.hard_count).double())
        # A tensor by a tensor: torch divides a number by one as a product with the reciprocal, which rounds twice.
        soft = torch.full_like(wrong, self.soft_factor) / (1 + wrong)
        return replace(state, weights=torch.where(wrong > 0, soft, 1.0))


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
