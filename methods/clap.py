"""CLAP and ZS-LP: a cosine classifier that starts at the class texts, with and without a pull back to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.functional.classwise import class_counts, class_sums, normalise, unit_rows
from bench.functional.stored_rows import ManyRows, blocks_of
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.training import LAST_EPOCH, WarmUp, as_parameter, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Cosines:
    """The weights of each class at unit norm, [c, d], and how strongly each was held to its text, [c]."""

    weights: Tensor = field(metadata=WEIGHTS)
    pull: Tensor = field(metadata=STATISTICS)


@method(
    "clap",
    paper="Silva-Rodriguez et al., A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models, CVPR "
    "2024, arXiv:2312.12730",
    equation="min CE(100 cos(x, w_c)) + mean_c a_c |w_c - t_c|^2; a_c: mean zero-shot probability of the own class",
    adapted="an image is one feature, where the code has twenty views of it and draws as many an epoch as there are "
    "images; class texts have unit norm in packs, so that the norm of the code's is a parameter",
    needs=("images", "prompts"),
    variants={"zs-lp": {"penalised": False}},
)
@dataclass(frozen=True, kw_only=True)
class CLAP:
    """Train a cosine classifier from the class texts by SGD; the last epoch is kept, and nothing is chosen.

    Settings are the official code's (jusiro/CLAP, commit dbdf409): rate 0.1, momentum 0.9, no decay, batch 256, 300
    epochs, a cosine, and a first epoch at 1e-5. There w starts at the mean t of text features that are not normalised,
    of norm s. On unit texts the same training has rate 0.1 / s^2 and the penalty times s^2, and so it is done here. The
    penalty's weights a_c are fixed before; a class without images has the mean of the others.

    Attributes
    ----------
    penalised : bool
        Whether weights are held to their texts; ``zs-lp`` is without.
    text_norm : float
        s; about 10 for OpenAI's encoders. It is not recorded in packs, whose texts have unit norm.
    """

    penalised: bool = True
    text_norm: Annotated[float, Gt(0)] = 10.0
    lr: Annotated[float, Gt(0)] = 0.1
    epochs: Annotated[int, Ge(1)] = 300
    batch: Annotated[int, Ge(1)] = 256
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def build(self, task: Task, *, rng: Stream) -> Cosines:
        """Return the trained weights."""
        items, texts = task.labelled, prompt_matrix(task)
        assert texts is not None
        x, columns = unit_rows(items.x), task.columns(items.labels)
        pull = _pull(x, columns, texts) if self.penalised else texts.new_zeros(len(texts))
        weights, square = as_parameter(texts), self.text_norm**2

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(x.device)
            value = F.cross_entropy(LOGIT_SCALE * x[rows] @ F.normalize(weights, dim=1).T, columns[rows])
            if not self.penalised:
                return value
            return value + square * (pull * (weights - texts).square().sum(1)).mean()

        fit(
            [weights],
            loss,
            len(x),
            owner=self.name,  # type: ignore[attr-defined]
            optimiser=torch.optim.SGD([weights], lr=self.lr / square, momentum=0.9),
            epochs=self.epochs,
            batch=self.batch,
            cosine=True,
            warm_up=WarmUp(-(-len(x) // self.batch), 1e-5 / square, rising=False),
            rng=rng.child("fit"),
            options=self.training_options,
        )
        return Cosines(normalise(weights.detach()), pull)

    def score(self, state: Cosines, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        return LOGIT_SCALE * normalise(queries) @ state.weights.T

    def describe(self, state: Cosines) -> dict[str, Any]:
        """Return the norm that texts are taken to have, and how strongly weights were held to them on average."""
        return {"text_norm": self.text_norm, "mean_pull": float(state.pull.mean()), **LAST_EPOCH}


def _pull(x: ManyRows, columns: Tensor, texts: Tensor) -> Tensor:
    """Return a of each class, [c]."""
    parts = [
        (LOGIT_SCALE * rows @ texts.T).softmax(1).gather(1, columns[here].unsqueeze(1))
        for here, rows in blocks_of(x, len(texts))
    ]
    own = torch.cat(parts) if parts else texts.new_zeros(0, 1)
    counts = class_counts(columns, len(texts))
    means = (class_sums(own, columns, len(texts)).squeeze(1) / counts.clamp(min=1)).float()
    shown = counts > 0
    return torch.where(shown, means, means.sum() / shown.sum().clamp(min=1))
