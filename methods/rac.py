"""Retrieval-augmented classification."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.explanation import Explanation, neighbours
from bench.core.memory import Items
from bench.core.protocols import Part
from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.encoders.image_tower import loaded
from bench.functional.classwise import drop_self, normalise, unit_rows
from bench.functional.logistic_regression import Linear
from bench.functional.stored_rows import MadeRows, ManyRows, are_many
from bench.learning.class_texts import class_texts
from bench.learning.training import LAST_EPOCH, as_parameter, epochs_of, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.errors import BenchError
from bench.utils.random import Stream

_CHUNK = 1024
_SEARCHED = 1 << 16
"""Training images whose neighbours are searched at a time."""


@dataclass(frozen=True, eq=False)
class Augmented:
    """The head, the image items, and what is needed to read their class names.

    Attributes
    ----------
    columns : int64 Tensor [m]
        The class of each item.
    texts : Tensor [c, d]
        Class texts; zeros for a class without one.
    without_text : int
        How many classes have none.
    encoder : str
        What encodes joined names, as :func:`bench.encoders.load_encoder` takes it; empty if their texts are averaged.
    class_names : tuple of str
        In column order.
    cut : float or None
        The share of training images whose joined names were longer than the encoder's context; None without one.
    """

    head: Linear
    items: Items
    columns: Tensor = field(metadata=MEMORY)
    texts: Tensor = field(metadata=STATISTICS)
    without_text: int
    encoder: str
    class_names: tuple[str, ...]
    cut: float | None


@method(
    "rac",
    paper="Long et al., Retrieval Augmented Classification for Long-Tail Visual Recognition, CVPR 2022, "
    "arXiv:2202.11233, as adapted by Kang et al., TMLR 2025, section 4.4",
    equation="logits = 16 (L(x) + L(r)), r the text feature of the joined class names of the k nearest images",
    adapted="both encoders are frozen; one linear head L for both; where no text encoder is at hand (feature packs), r "
    "is the normalised mean of the text vectors of those class names; optimiser, rate and number of steps are ours",
    needs=("images", "texts"),
    stores_items=True,
)
@dataclass(frozen=True, kw_only=True)
class RAC:
    """Classify the image and the class names of its nearest images by one linear head, and add the logits.

    In training an image never retrieves itself. Features have unit norm. The head starts uniform in +-1 / sqrt(d) with
    biases of zero, and is trained in float32 by Adam, the rate falling to zero along half a cosine, for as many whole
    epochs as ``steps`` batches take; without images it stays as it is drawn. The last epoch is kept; nothing is chosen.

    ``logit_scale``, ``weight_decay`` and ``batch`` are those of the founding paper's training. Its learning rate
    (1e-6) is for blocks that start from good weights; that of a head that starts from none, and the number of steps,
    were chosen as for all methods, on packs that no comparison ranks on (docs/selection.md).

    Attributes
    ----------
    names : str
        ``encoded`` encodes the class names of the k nearest images, joined by commas and nearest first, as one text,
        of which the encoder reads as much as its context holds (77 tokens for CLIP); ``averaged`` takes the mean of
        the class texts, in which a class without one says nothing; ``auto`` encodes where the images and so their
        encoder are at hand, and averages elsewhere. The record says which it was.
    """

    k: Annotated[int, Ge(1)] = 32
    names: Literal["auto", "encoded", "averaged"] = "auto"
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
        x, columns = unit_rows(data.x), task.columns(data.labels)
        encoder, near = self._encoder(task), self._neighbours_of_others(items, data)
        r, cut = _said_to_all(at[near], texts, encoder, task.class_names)
        bound = 1 / math.sqrt(task.dimension)
        draw = torch.empty(task.n_classes, task.dimension).uniform_(-bound, bound, generator=rng.child("init").torch())
        trainable = Linear(
            as_parameter(draw.to(task.device)), as_parameter(torch.zeros(task.n_classes, device=task.device))
        )

        both = x + r if isinstance(x, Tensor) and isinstance(r, Tensor) else None

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(x.device)
            met = x[rows] + r[rows] if both is None else both[rows]
            return F.cross_entropy(self._logits(trainable, met), columns[rows])

        weights = [trainable.weights, trainable.biases]
        fit(
            weights,
            loss,
            len(x),
            owner="rac",
            optimiser=torch.optim.Adam(weights, lr=self.lr, weight_decay=self.weight_decay, fused=True),
            epochs=epochs_of(self.steps, len(x), self.batch),
            batch=self.batch,
            cosine=True,
            rng=rng.child("fit"),
            options=self.training_options,
        )
        head, without = Linear(trainable.weights.detach(), trainable.biases.detach()), int((~has).sum())
        return Augmented(head, items, at, texts, without, encoder, task.class_names, cut if encoder else None)

    def _encoder(self, task: Task) -> str:
        """Return the name of the encoder that is to read names; empty for none."""
        if self.names == "averaged" or (self.names == "auto" and task.pictures is None):
            return ""
        if task.pictures is None:
            raise BenchError(
                "rac.names=encoded needs the encoder of the features, which is at hand where the images are; give the "
                "images, or leave it at auto"
            )
        task.pictures.check()
        return task.pictures.encoder

    def _neighbours_of_others(self, items: Items, data: Items) -> Tensor:
        """Return the k nearest items of each training image but itself, int64 [n, k]."""
        parts = [items.index.search(part.float(), self.k + 1).positions for part in data.x.split(_SEARCHED)]
        found = torch.cat(parts)
        return drop_self(found, found == items.places_of(data.ids).to(found.device).unsqueeze(1))

    def _logits(self, head: Linear, both: Tensor) -> Tensor:
        """Return the logits of rows x + r: L(x) + L(r) = W (x + r) + 2 b, one product for two."""
        return self.logit_scale * (both @ head.weights.T + 2 * head.biases)

    def score(self, state: Augmented, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        found = state.items.index.search(queries, self.k)
        r, _ = _said(state.columns[found.positions], state.texts, state.encoder, state.class_names)
        return self._logits(state.head, normalise(queries) + r)

    def explain(self, state: Augmented, task: Task, query: Tensor) -> Explanation:
        """Return the neighbours with the share each one's class name has in what the names say together."""
        found = state.items.index.search(query.unsqueeze(0), self.k)
        said = torch.ones_like(found.similarities[0])
        if not state.encoder:
            said = (state.texts[state.columns[found.positions[0]]] != 0).any(1).float()
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
        """Return how names were encoded and cut, how many classes have no text, that nothing is chosen, and k."""
        how = "the joined class names" if state.encoder else "mean of the class texts"
        told = {"names_encoded_as": how, "classes_without_text": state.without_text}
        cut = {} if state.cut is None else {"share_of_texts_cut": state.cut}
        return {**told, **cut, **LAST_EPOCH, "k_used": min(self.k, len(state.items))}


def _said_to_all(columns: Tensor, texts: Tensor, encoder: str, class_names: tuple[str, ...]) -> tuple[ManyRows, float]:
    """Return what :func:`_said` does; means of many texts are made where they are asked for."""
    if encoder or not are_many(len(columns) * texts.shape[1]):
        return _said(columns, texts, encoder, class_names)
    return MadeRows(columns, lambda some: _said(some, texts, encoder, class_names)[0]), 0.0


def _said(columns: Tensor, texts: Tensor, encoder: str, class_names: tuple[str, ...]) -> tuple[Tensor, float]:
    """Return the text feature of what each query's neighbours are named, [q, d], and the share of texts cut.

    Parameters
    ----------
    columns : int64 Tensor [q, k]
        The neighbours' classes, nearest first.
    """
    # Without neighbours there is nothing to read, and the mean of nothing is zero.
    if encoder and columns.numel():
        # Alike neighbours are named alike, so each text is encoded once.
        rows, back = torch.unique(columns, dim=0, return_inverse=True)
        joined = [", ".join(class_names[c] for c in row) for row in rows.tolist()]
        told = loaded(encoder).encode_texts(joined)
        return normalise(told.x.to(columns.device))[back], float(told.truncated[back.cpu()].float().mean())
    parts = [normalise(texts[columns[a : a + _CHUNK]].sum(1)) for a in range(0, max(1, len(columns)), _CHUNK)]
    return torch.cat(parts), 0.0
