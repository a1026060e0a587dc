"""Retrieval-augmented classification."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.explanation import Explanation, neighbours
from bench.core.memory import Items
from bench.core.protocols import Part
from bench.core.registry import method
from bench.core.state_bytes import MEMORY
from bench.core.task import Task
from bench.functional.classwise import drop_self, normalise
from bench.functional.logistic_regression import Linear
from bench.learning.class_texts import class_texts
from bench.learning.training import as_parameter, epochs_of, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream

_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Augmented:
    """The head, the image items, and the text vector of each item's class name, [m, d]; zeros where it has none."""

    head: Linear
    items: Items
    names: Tensor = field(metadata=MEMORY)
    without_text: int


@method(
    "rac",
    paper="Long et al., Retrieval Augmented Classification for Long-Tail Visual Recognition, CVPR 2022, "
    "arXiv:2202.11233, as adapted by Kang et al., TMLR 2025, section 4.4",
    equation="logits = 16 (L(x) + L(r)), r the text feature of the joined class names of the k nearest images",
    adapted="both encoders are frozen; r is the normalised mean of the text vectors of those class names, since packs "
    "hold text vectors and no text encoder; one linear head L for both",
    needs=("images", "texts"),
    stores_items=True,
)
@dataclass(frozen=True, kw_only=True)
class RAC:
    """Classify the image and the class names of its nearest images by one linear head, and add the logits.

    In training an image never retrieves itself. Neighbours whose class has no text say nothing. The head is trained
    for as many whole epochs as ``steps`` batches take; without images it stays as it is drawn.

    ``logit_scale``, ``weight_decay`` and ``batch`` are those of the founding paper's training. Its learning rate
    (1e-6) is for blocks that start from good weights; a head that starts from none was given the rate, of 1e-4, 3e-4,
    ..., 1e-1, with the largest mean accuracy on held-out labelled images (``hold_out`` of 4 a class, from 8 and 16 a
    class) of Oxford Flowers and Oxford Pets (the 16-shot split) and DTD (validation split) in CLIP ViT-B/32 features:
    75.5 %; 75.1 % at 3e-3, 75.3 % at 3e-2, 64.0 % at 1e-4. It is one default for all data; no query took part.
    """

    k: Annotated[int, Ge(1)] = 32
    logit_scale: Annotated[float, Gt(0)] = 16.0
    lr: Annotated[float, Gt(0)] = 1e-2
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    steps: Annotated[int, Ge(1)] = 500
    batch: Annotated[int, Ge(1)] = 256
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def build(self, task: Task, *, rng: Stream) -> Augmented:
        """Return the head trained on the labelled images, and the memory it retrieves from."""
        items, data = task.image_memory, task.labelled
        texts, has = class_texts(task)
        at = task.columns(items.labels)
        names = texts[at]
        x, columns = normalise(data.x), task.columns(data.labels)
        r = _said(names, self._neighbours_of_others(items, data))
        bound = 1 / math.sqrt(task.dimension)
        draw = torch.empty(task.n_classes, task.dimension).uniform_(-bound, bound, generator=rng.child("init").torch())
        trainable = Linear(
            as_parameter(draw.to(task.device)), as_parameter(torch.zeros(task.n_classes, device=task.device))
        )

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(x.device)
            return F.cross_entropy(self._logits(trainable, x[rows], r[rows]), columns[rows])

        weights = [trainable.weights, trainable.biases]
        fit(
            weights,
            loss,
            len(x),
            owner="rac",
            optimiser=torch.optim.Adam(weights, lr=self.lr, weight_decay=self.weight_decay),
            epochs=epochs_of(self.steps, len(x), self.batch),
            batch=self.batch,
            cosine=True,
            rng=rng.child("fit"),
            options=self.training_options,
        )
        return Augmented(Linear(trainable.weights.detach(), trainable.biases.detach()), items, names, int((~has).sum()))

    def _neighbours_of_others(self, items: Items, data: Items) -> Tensor:
        """Return the k nearest items of each training image but itself, int64 [n, k]."""
        found = items.index.search(data.x.float(), self.k + 1).positions
        own = torch.from_numpy(items.ids[found.cpu().numpy()] == data.ids[:, None]).to(found.device)
        return drop_self(found, own)

    def _logits(self, head: Linear, x: Tensor, r: Tensor) -> Tensor:
        return self.logit_scale * (head(x) + head(r))

    def score(self, state: Augmented, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        found = state.items.index.search(queries, self.k)
        return self._logits(state.head, normalise(queries), _said(state.names, found.positions))

    def explain(self, state: Augmented, task: Task, query: Tensor) -> Explanation:
        """Return the neighbours with the share each one's class name has in what the names say together."""
        found = state.items.index.search(query.unsqueeze(0), self.k)
        said = (state.names[found.positions[0]] != 0).any(1).float()
        return Explanation(
            neighbours=neighbours(
                state.items, found.positions[0], found.similarities[0], said / said.sum().clamp(min=1)
            ),
            weights="shares of the class names that are read, 0 for a class without text",
        )

    def runs_without(self, task: Task) -> tuple[Part, ...]:
        """Return that no class has a text, so that the names of neighbours say nothing."""
        return () if bool(class_texts(task)[1].any()) else ("class texts",)

    def describe(self, state: Augmented) -> dict[str, Any]:
        """Return how names were encoded, how many classes have no text, and the neighbours there really are."""
        return {
            "names_encoded_as": "mean of the class texts",
            "classes_without_text": state.without_text,
            "k_used": min(self.k, len(state.items)),
        }


def _said(names: Tensor, positions: Tensor) -> Tensor:
    """Return the text feature of each query's neighbours' names, [q, d]; zeros where no neighbour has a text."""
    return torch.cat(
        [normalise(names[positions[a : a + _CHUNK]].sum(1)) for a in range(0, max(1, len(positions)), _CHUNK)]
    )
