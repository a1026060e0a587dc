"""Classes described by several sentences: the mean of their vectors, or the mean of their cosines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS
from bench.core.task import Task
from bench.encoders.image_tower import loaded
from bench.functional.classwise import class_counts, class_means, normalise
from bench.learning.class_texts import LOGIT_SCALE
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PAIRS = 15
_WORD = 5
"""Letters of a drawn word; WaffleCLIP takes the lengths of words of the class descriptors."""


@dataclass(frozen=True, eq=False)
class Described:
    """The vector that each class is compared with, [c, d]; zeros for a class without a text."""

    vectors: Tensor = field(metadata=STATISTICS)
    counts: Tensor = field(metadata=STATISTICS)


@method(
    "text-memory",
    paper="CuPL: Pratt et al., What Does a Platypus Look Like?, ICCV 2023, arXiv:2209.03320; DCLIP: Menon and "
    "Vondrick, Visual Classification via Description from Large Language Models, ICLR 2023, arXiv:2210.07183; "
    "WaffleCLIP: Roth et al., Waffling Around for Performance, ICCV 2023, arXiv:2306.07282",
    equation="CuPL: logits = 100 x normalise(mean_j t_cj); DCLIP, Waffle: logits = 100 mean_j x t_cj",
    adapted="sentences are those of the text memory, where the papers have them written by a language model; a class "
    "without one is scored by its class text",
    needs=("texts",),
    variants={
        "text-memory-dclip": {"form": "cosines"},
        "text-memory-shuffled": {"form": "shuffled"},
    },
)
@dataclass(frozen=True, kw_only=True)
class TextMemory:
    """Score a query by the sentences of each class.

    Attributes
    ----------
    form : str
        ``mean`` is CuPL's: the mean of the unit sentence vectors, normalised. ``cosines`` is DCLIP's: the mean of the
        cosines, so that a class whose sentences are scattered scores lower. ``waffle`` needs the text encoder: the mean
        of cosines to "A photo of a {class}, which has {r}." for 15 descriptors of random words and 15 of random
        characters, the same for all classes. ``shuffled`` is a control that needs no encoder: the sentences of all
        classes are dealt anew, each class as many as it had, and CuPL's mean is taken with the class text.
    """

    form: Literal["mean", "cosines", "waffle", "shuffled"] = "mean"

    def build(self, task: Task, *, rng: Stream) -> Described:
        """Return the vector of each class, [c, d]."""
        if self.form == "waffle":
            return self._waffled(task, rng)
        items = task.text_memory
        x, columns = normalise(items.x), task.columns(items.labels)
        counts = class_counts(columns, task.n_classes)
        if self.form == "shuffled":
            order = torch.from_numpy(rng.child("sentences").order(items.ids)).to(x.device)
            by_class = torch.argsort(columns, stable=True)
            means = class_means(x[order], columns[by_class], task.n_classes)
        else:
            means = class_means(x, columns, task.n_classes)
        if self.form != "cosines":
            means = normalise(means)
        own, has = _class_texts(task)
        if self.form == "shuffled":
            means = normalise(means + own)
        missing = (counts == 0) & has
        return Described(torch.where(missing.unsqueeze(1), own, means), torch.where(missing, 1, counts))

    def _waffled(self, task: Task, rng: Stream) -> Described:
        if task.pictures is None:
            raise Unsuitable("needs the text encoder, and the data set has features only; use form=mean or cosines")
        draw = rng.child("waffle").numpy()

        def word() -> str:
            return "".join(_LETTERS[n] for n in draw.integers(0, len(_LETTERS), _WORD))

        characters = [f"{word()}, {word()}" for _ in range(_PAIRS)]
        words = [" ".join(word() for _ in range(2)) for _ in range(_PAIRS)]
        texts = [f"A photo of a {name}, which has {r}." for name in task.class_names for r in (*words, *characters)]
        encoder = loaded(task.pictures.encoder)
        with torch.no_grad():
            x = normalise(encoder.encode_texts(texts).x.to(task.device))
        counts = torch.full((task.n_classes,), 2 * _PAIRS, device=task.device)
        return Described(x.view(task.n_classes, 2 * _PAIRS, -1).mean(1), counts)

    def score(self, state: Described, queries: Tensor) -> Tensor:
        """Return logits [q, c]; a class without any text gets minus infinity."""
        scores = LOGIT_SCALE * normalise(queries) @ state.vectors.T
        return scores.masked_fill(state.counts == 0, -torch.inf)

    def describe(self, state: Described) -> dict[str, Any]:
        """Return how many texts the poorest and the richest class have."""
        return {"fewest_texts": int(state.counts.min()), "most_texts": int(state.counts.max())}


def _class_texts(task: Task) -> tuple[Tensor, Tensor]:
    """Return the unit text of each class, zeros where there is none, and which have one."""
    texts = torch.zeros(task.n_classes, task.dimension, device=task.device)
    has = torch.zeros(task.n_classes, dtype=torch.bool, device=task.device)
    if len(task.prompts):
        at = task.columns(task.prompts.labels)
        texts[at], has[at] = normalise(task.prompts.x), True
    return texts, has
