"""Cross-modal linear probe: class texts are training images too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.functional.classwise import normalise, unit_rows
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.text_batches import with_a_text_each
from bench.learning.training import LAST_EPOCH, WarmUp, as_parameter, epochs_of, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Head:
    """The trained head and the class texts it began at, [c, d] each, and how much the head counts beside them."""

    weights: Tensor = field(metadata=WEIGHTS)
    texts: Tensor = field(metadata=STATISTICS)
    share: float


@method(
    "cross-modal-probe",
    paper="Lin et al., Multimodality Helps Unimodality: Cross-Modal Few-Shot Learning with Multimodal Models, CVPR "
    "2023, arXiv:2301.06267",
    equation="min CE(100 z W', y) over images and class texts z, half a batch each; W starts at T",
    adapted="an image is one feature, where the code has a centre crop and its mirror; a class has one text, the mean "
    "of its templates; learning rate, decay and batch are stated, where the code sweeps them on min(shots, 4) "
    "validation images and keeps the best of every 100th step; steps are whole epochs over the images, and an image "
    "has the same text beside it in all",
    needs=("images", "prompts"),
    variants={"cross-modal-wise-ft": {"share": 0.5}},
    grid={"lr": (1e-3, 1e-4), "weight_decay": (0.0, 0.01, 1e-4), "batch": (8, 32)},
)
@dataclass(frozen=True, kw_only=True)
class CrossModalProbe:
    """Train a head without biases from the class texts by AdamW; half of each batch are texts.

    Settings are the official code's (linzhiqiu/cross_modal_adaptation, commit ac9077e): 12800 steps, a cosine after 50
    steps that rise from 1e-5. The last step is kept; ``--tune`` tries the code's sweep.

    Attributes
    ----------
    share : float
        Of the trained head beside the class texts in the end; 0.5 is WiSE-FT.
    batch : int
        Images of a batch and texts of a batch, half of it each.
    """

    share: Annotated[float, Ge(0)] = 1.0
    lr: Annotated[float, Gt(0)] = 1e-4
    weight_decay: Annotated[float, Ge(0)] = 0.01
    steps: Annotated[int, Ge(1)] = 12800
    batch: Annotated[int, Ge(2)] = 32
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def build(self, task: Task, *, rng: Stream) -> Head:
        """Return the trained head."""
        items, texts = task.labelled, prompt_matrix(task)
        assert texts is not None
        x, columns = unit_rows(items.x), task.columns(items.labels)
        weights, half = as_parameter(texts), self.batch // 2
        fit(
            [weights],
            with_a_text_each(weights, x, columns, texts, rng=rng),
            len(x),
            owner="cross-modal-probe",
            optimiser=torch.optim.AdamW([weights], lr=self.lr, weight_decay=self.weight_decay),
            epochs=epochs_of(self.steps, len(x), half),
            batch=half,
            cosine=True,
            warm_up=WarmUp(min(50, self.steps // 2)),
            rng=rng.child("fit"),
            options=self.training_options,
        )
        return Head(weights.detach(), texts, self.share)

    def score(self, state: Head, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        weights = state.share * state.weights + (1 - state.share) * state.texts
        return LOGIT_SCALE * normalise(queries) @ weights.T

    def describe(self, state: Head) -> dict[str, Any]:
        """Return how far the head went from the texts."""
        moved = float((state.weights - state.texts).norm() / state.texts.norm())
        return {"moved": moved, "share": state.share, **LAST_EPOCH}
