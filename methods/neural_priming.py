"""Neural priming: the text of a class, moved towards the mean of its images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import Tensor

from bench.core.registry import method
from bench.core.task import Task
from bench.functional.classwise import class_counts, class_means, normalise, unit_rows
from bench.functional.logistic_regression import Linear
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.utils.random import Stream


@method(
    "neural-priming",
    paper="Wallingford et al., Neural Priming for Sample-Efficient Adaptation, NeurIPS 2023, arXiv:2306.10191",
    equation="w_c = a t_c + (1 - a) m_c, m_c the normalised mean of the images of class c; logits = 100 x W",
    adapted="images are those of the memory, which need not be of the model's own pre-training data; a class without "
    "images keeps its text, where the code has m_c = 0, by which it almost never wins",
    needs=("images", "prompts"),
)
@dataclass(frozen=True, kw_only=True)
class NeuralPriming:
    """Average the text of a class with the mean of its images, retrieved and labelled ones pooled.

    w is not normalised again, as in the official code (RAIVNLab/neural-priming). Each image has unit norm.

    Attributes
    ----------
    text_weight : float
        a; by hand the authors take 0.7 on flowers without shots, and 0.58 and 0.55 at two and three shots.
    without_images : str
        What a class without images is scored by: its ``text``, or, as in the code, a times it (``zero``).
    """

    text_weight: Annotated[float, Ge(0), Le(1)] = 0.9
    without_images: Literal["text", "zero"] = "text"

    def build(self, task: Task, *, rng: Stream) -> Linear:
        """Return the weights [c, d] in column order, and no biases."""
        items, texts = task.all_images, prompt_matrix(task)
        assert texts is not None
        columns = task.columns(items.labels)
        means = normalise(class_means(unit_rows(items.x), columns, task.n_classes))
        if self.without_images == "text":
            means = means.where((class_counts(columns, task.n_classes) > 0).unsqueeze(1), texts)
        weights = self.text_weight * texts + (1 - self.text_weight) * means
        return Linear(weights, weights.new_zeros(task.n_classes))

    def score(self, state: Linear, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        return LOGIT_SCALE * state(normalise(queries))
