"""Votes of the nearest memory items."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.certificate import Certificate, Edit
from bench.core.explanation import Explanation, neighbours
from bench.core.memory import Items
from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.certificates import insertions_into_votes, relabellings_of_votes, removals_of_votes
from bench.functional.certificates_of_heads import relabellings_of_weighed_votes
from bench.functional.classwise import class_counts, class_votes
from bench.functional.removal_sets import fewest_removals
from bench.learning.unlearning import named
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream

_MOST = 32
"""The k of Nakata et al. and of the founding paper."""


@dataclass(frozen=True, eq=False)
class Voters:
    """The items that vote, the column of each, int64 [m], and the rank of each column's class id, int64 [c]."""

    items: Items
    columns: Tensor = field(metadata=MEMORY)
    class_rank: Tensor = field(metadata=STATISTICS)
    k: int


@method(
    "knn",
    paper="Nakata et al., Revisiting a kNN-based Image Classification System with High-capacity Storage, "
    "ECCV 2022, arXiv:2204.01186; temperature vote: Oquab et al., DINOv2, TMLR 2024, arXiv:2304.07193",
    equation="majority: argmax_c |{j in kNN(x): y_j = c}|; temperature: sum over j of exp(cos / 0.03)",
    adapted="the vote is weighed at a temperature of 0.03, where DINOv2 has 0.07 and Nakata et al. count; k is "
    "bounded by the items of a class; knn:vote=majority:k=32 is the paper's",
    needs=("images",),
    stores_items=True,
    grid={"temperature": (0.005, 0.01, 0.02, 0.04, 0.07)},
)
@dataclass(frozen=True, kw_only=True)
class KNN:
    """Weighted or majority vote of the k nearest image items.

    At few items a class a plain count of 32 neighbours is decided by who has no item among them and by the rule for
    ties: with one a class, all 32 have one vote. A weighted vote at a high temperature is much the same. The protocol
    of all methods (docs/selection.md) chose 0.035, which on Oxford Flowers at 16 shots is 0.7 points below the nearest
    neighbour alone on all queries and 1.3 on the first 1500; 0.03, the next candidate, is nowhere a tenth below it on
    all queries of six data sets.

    Attributes
    ----------
    k : int or None
        None is 32, but at most twice the items of the median class less one, which is as many as a class that has all
        of its items among them still outvotes. A k larger than the memory uses all of it.
    vote : str
        ``temperature`` weighs each vote by the softmax of its cosine over the k neighbours. ``majority`` counts, as
        the papers do; a tie goes to the lowest class id.
    temperature : float
        Of the weighted vote.
    """

    k: Annotated[int, Ge(1)] | None = None
    vote: Literal["majority", "temperature"] = "temperature"
    temperature: Annotated[float, Gt(0)] = 0.03

    def build(self, task: Task, *, rng: Stream) -> Voters:
        """Return the image items with their columns."""
        items = task.all_images
        rank = torch.argsort(torch.argsort(torch.tensor(task.classes)))
        return self._voters(items, task.columns(items.labels), rank.to(items.labels.device))

    def _voters(self, items: Items, columns: Tensor, class_rank: Tensor) -> Voters:
        k = self.k
        if k is None:
            held = class_counts(columns, len(class_rank))
            held = held[held > 0]
            k = min(_MOST, 2 * int(held.median()) - 1) if len(held) else 1
        return Voters(items, columns, class_rank, min(k, max(1, len(items))))

    def forget(self, state: Voters, task: Task, ids: Collection[str]) -> Voters:
        """Return the voters without the named items."""
        stays = ~named(state.items, task, ids)
        columns = state.columns[torch.from_numpy(stays).to(state.columns.device)]
        return self._voters(state.items.take(stays), columns, state.class_rank)

    def score(self, state: Voters, queries: Tensor) -> Tensor:
        """Return votes [q, c]."""
        found = state.items.index.search(queries, state.k)
        columns = state.columns[found.positions]
        if self.vote == "temperature":
            weights = (found.similarities / self.temperature).softmax(dim=1)
            return class_votes(columns, weights, len(state.class_rank))
        votes = class_votes(columns, torch.ones_like(found.similarities), len(state.class_rank))
        # Votes are whole numbers, so less than one vote in all decides ties and nothing else.
        return votes.sub_(0.5 * state.class_rank / len(state.class_rank))

    def certify(self, state: Voters, task: Task, queries: Tensor, edit: Edit, most: int) -> Certificate:
        """Return how many items must leave, come or be relabelled; exact, but of relabelled weighed votes at least."""
        found = state.items.index.search(queries, state.k + most)
        if not all(name.startswith("exact") for name in found.by):
            raise Unsuitable("an approximate search may miss items, so that nothing is certain; search exactly")
        columns, rank, counted = state.columns[found.positions], state.class_rank, self.vote == "majority"
        weights = self._votes(found.similarities)
        if edit == "relabel":
            if not counted:
                near = columns[:, : state.k]
                return Certificate(*relabellings_of_weighed_votes(near, weights[:, : state.k], len(rank), most))
            least = relabellings_of_votes(columns, rank, state.k, most)
        else:
            rule = removals_of_votes if edit == "remove" else insertions_into_votes
            least = rule(columns, weights, rank, state.k, most, counted=counted)
        return Certificate(least, torch.ones_like(least, dtype=torch.bool))

    def fewest_removals(self, state: Voters, task: Task, query: Tensor, most: int) -> list[tuple[str, ...]]:
        """Return the items that must leave for another answer: all single ones, else a set of the fewest."""
        queries = query.unsqueeze(0)
        least = int(self.certify(state, task, queries, "remove", most).least[0])
        if least > most:
            return []
        found = state.items.index.search(queries, state.k + least)
        columns, counted = state.columns[found.positions[0]], self.vote == "majority"
        weights = self._votes(found.similarities[0])
        sets = fewest_removals(columns, weights, state.class_rank, state.k, least, counted=counted)
        names = state.items.ids[found.positions[0].cpu().numpy()]
        return [tuple(str(names[place]) for place in one) for one in sets]

    def _votes(self, similarities: Tensor) -> Tensor:
        """Return the vote of each item: that of one at the query itself is 1, and their ratios are those of softmax."""
        similar = similarities.double()
        return torch.ones_like(similar) if self.vote == "majority" else ((similar - 1) / self.temperature).exp()

    def explain(self, state: Voters, task: Task, query: Tensor) -> Explanation:
        """Return the neighbours with the weight of each one's vote."""
        found = state.items.index.search(query.unsqueeze(0), state.k)
        similar = found.similarities[0]
        counted = self.vote == "majority"
        votes = torch.ones_like(similar) if counted else (similar / self.temperature).softmax(dim=0)
        words = "votes, one each" if counted else "votes, which add up to 1"
        return Explanation(neighbours=neighbours(state.items, found.positions[0], similar, votes), weights=words)

    def describe(self, state: Voters) -> dict[str, Any]:
        """Return the number of neighbours that there really are."""
        return {"k_used": state.k}
