"""Zero-shot or nearest neighbours, by which of the two is more precise for the class it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from bench.core.memory import Items
from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.classwise import class_counts, class_votes, normalise
from bench.learning.choosing import told_of_choice
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.holdout import digest_order
from bench.utils.random import Stream

_KS = (1, 3, 5, 7, 9, 11, 13, 21, 51)
_FOLDS = 10
_ROWS = 1 << 24
"""Cosines that are held at a time while folds are compared: 64 MiB at most."""
_AT_ONCE = 256
"""Items of a block at most: what a block takes grows with the items it meets, and not with the block too."""


@dataclass(frozen=True, eq=False)
class Precise:
    """The memory, the class texts, and how precise each of the two is by class.

    Attributes
    ----------
    near, text : Tensor [c]
        Precision of the nearest neighbours (cross-validated) and of the class texts, by the class that is answered; -1
        for a class that is never answered.
    k : int
    right : tuple of int
        Right answers of each k that was tried, in cross-validation.
    """

    items: Items
    columns: Tensor = field(metadata=MEMORY)
    texts: Tensor = field(metadata=STATISTICS)
    near: Tensor = field(metadata=STATISTICS)
    text: Tensor = field(metadata=STATISTICS)
    k: int
    right: tuple[int, ...]


@method(
    "text-knn",
    paper="Volkov et al., Image Recognition with Vision and Language Embeddings of VLMs, BMVC 2025, arXiv:2509.09311",
    equation="the kNN answer where precision_kNN(its class) > precision_text(its class), else the zero-shot answer",
    adapted="k is the one with the most right answers in the same cross-validation, the smallest of equal ones, where "
    "the authors report each; folds follow the hashes of ids",
    needs=("images", "prompts"),
    selection="support-heldout",
    stores_items=True,
)
@dataclass(frozen=True, kw_only=True)
class TextKNN:
    """Take the answer of the more precise of two classifiers; scores are those of the one that answers.

    Precision is measured on the labelled images: of the nearest neighbours by ten folds, of the class texts directly.
    Where it is equal, or the neighbours never answered their class, zero-shot answers. Neighbours count one vote each;
    a tie goes to the class met first from the nearest. Scores of a query that neighbours answer are votes, those of
    another are 100 x T'; ranks are meant for one query, and are not to be compared between queries.

    Attributes
    ----------
    k : int or None
        None chooses among 1, 3, ... 13, 21, 51, as far as items reach.
    """

    k: Annotated[int, Ge(1)] | None = None

    def build(self, task: Task, *, rng: Stream) -> Precise:
        """Return the memory with both precisions."""
        items, texts = task.all_images, prompt_matrix(task)
        assert texts is not None
        x, columns, c = normalise(items.x), task.columns(items.labels), len(texts)
        ks = (self.k,) if self.k is not None else tuple(k for k in _KS if k < max(2, len(x)))
        answers = _cross_validated(x, columns, _folds(columns, items), ks, c)
        right = (answers == columns).sum(1).tolist()
        best = right.index(max(right)) if right else 0
        text_answers = torch.cat([(part @ texts.T).argmax(1) for part in x.split(_AT_ONCE)])
        return Precise(
            items,
            columns,
            texts,
            _precision(answers[best], columns, c),
            _precision(text_answers, columns, c),
            ks[best],
            tuple(right),
        )

    def score(self, state: Precise, queries: Tensor) -> Tensor:
        """Return votes or logits [q, c]."""
        zero_shot = LOGIT_SCALE * normalise(queries) @ state.texts.T
        found = state.items.index.search(queries, state.k)
        votes = first_met(state.columns[found.positions], len(state.texts))
        near, text = votes.argmax(1), zero_shot.argmax(1)
        trusted = state.near[near] > state.text[text]
        return torch.where(trusted.unsqueeze(1), votes, zero_shot)

    def describe(self, state: Precise) -> dict[str, Any]:
        """Return k, how often each was right in cross-validation, and whose scores are returned.

        Where every class has one image each fold lacks its class, so that all k are equal and never right.
        """
        shown = list(_KS[: len(state.right)]) if self.k is None else [state.k]
        told = {"k_used": state.k, "right_by_k": dict(zip(map(str, shown), state.right, strict=True))}
        spared = bool((class_counts(state.columns, len(state.texts)) > 1).any())
        told |= told_of_choice(len(state.columns) if spared else 0, len(shown) if spared else 1, wanted=self.k is None)
        told |= {"chosen_on": "support"} if spared else {}
        return {**told, "scores": "votes where the neighbours answer, else 100 x T'"}


def first_met(columns: Tensor, n_classes: int) -> Tensor:
    """Return the votes of neighbours [q, k], nearest first, and a little more the sooner a class is met.

    Less than half a vote, so that it decides ties alone; [q, c].
    """
    k = columns.shape[1]
    votes = class_votes(columns, torch.ones(columns.shape, device=columns.device), n_classes)
    places = torch.arange(k, device=columns.device, dtype=votes.dtype).expand_as(columns)
    met = torch.full_like(votes, k).scatter_reduce(1, columns, places, "amin")
    return votes + 0.4 * (1 - met / max(1, k))


def _folds(columns: Tensor, items: Items) -> Tensor:
    """Return the fold of each item, so that the items of a class are dealt to all folds in turn; int64 [n]."""
    order = digest_order(items.ids).to(columns.device)
    by_class = order[torch.argsort(columns[order], stable=True)]
    folds = torch.empty_like(columns)
    folds[by_class] = torch.arange(len(columns), device=columns.device) % _FOLDS
    return folds


def _cross_validated(x: Tensor, columns: Tensor, folds: Tensor, ks: tuple[int, ...], n_classes: int) -> Tensor:
    """Return what the neighbours in other folds answer for each item and k, int64 [len(ks), n]."""
    most, rows = max(ks, default=1), max(1, min(_AT_ONCE, _ROWS // max(1, len(x))))
    parts: list[list[Tensor]] = [[] for _ in ks]
    for block, own in zip(x.split(rows), folds.split(rows), strict=True):
        cosines = (block @ x.T).masked_fill_(own.unsqueeze(1) == folds, -torch.inf)
        near = columns[cosines.topk(min(most, len(x)), dim=1).indices]
        for part, k in zip(parts, ks, strict=True):
            part.append(first_met(near[:, :k], n_classes).argmax(1))
    return torch.stack([torch.cat(part) for part in parts])


def _precision(answers: Tensor, columns: Tensor, n_classes: int) -> Tensor:
    """Return the share of right answers among those of each class, [c]; -1 for a class that is never answered."""
    given, right = class_counts(answers, n_classes), class_counts(answers[answers == columns], n_classes)
    return torch.where(given > 0, right / given.clamp(min=1), -1.0)
