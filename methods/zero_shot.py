"""Zero-shot classification by class texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from bench.core.explanation import Explanation
from bench.core.registry import method
from bench.core.state_bytes import STATISTICS
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Texts:
    """The unit-norm text vector of each class, [c, d]."""

    weights: Tensor = field(metadata=STATISTICS)


@method(
    "zero-shot",
    paper="Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021, "
    "arXiv:2103.00020",
    equation="section 3.1.2: logits = 100 x W",
    needs=("prompts",),
)
@dataclass(frozen=True, kw_only=True)
class ZeroShot:
    """Score a query by its cosine to the text vector of each class, times 100.

    The text vector of a class is the normalised mean over its prompt templates; it is made when a pack is encoded. Both
    are as in openai/CLIP, commit d05afc4, notebooks/Prompt_Engineering_for_ImageNet.ipynb.
    """

    logit_scale: Annotated[float, Gt(0)] = 100.0

    def build(self, task: Task, *, rng: Stream) -> Texts:
        """Return the class texts in column order, [c, d]."""
        columns = task.columns(task.prompts.labels)
        return Texts(normalise(task.prompts.x)[torch.argsort(columns)])

    def score(self, state: Texts, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        return self.logit_scale * normalise(queries) @ state.weights.T

    def explain(self, state: Texts, task: Task, query: Tensor) -> Explanation:
        """Return the cosine to the text vector of each class."""
        return Explanation(prototypes={"text": state.weights @ normalise(query)})
