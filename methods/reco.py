"""Retrieval-enhanced contrastive vision-text model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.memory import Items
from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Session, Task
from bench.functional.attention import Block, standardise
from bench.functional.classwise import class_counts, class_means, drop_self, normalise, unit_rows
from bench.functional.fused_attention import Neighbours, transform_near
from bench.functional.stored_rows import ManyRows, made_rows, only
from bench.learning.class_texts import class_texts
from bench.learning.training import as_parameter, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.errors import BenchError
from bench.utils.random import Stream

_CHUNK = 1024
_SEARCHED = 1 << 16
"""Queries whose neighbours are searched at a time."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """The trained part: one fusion layer for image queries and one for text queries.

    ``epoch`` is the one that was kept, 0 is the untrained start; ``chosen_on`` says on what it was chosen, and
    ``tried`` among how many, the start included.
    """

    image: Block
    text: Block
    epoch: int = 0
    chosen_on: str = "nothing"
    tried: int = 1


@dataclass(frozen=True, eq=False)
class Side:
    """What queries of one modality retrieve: items of their own modality, and each item's partner in the other.

    Attributes
    ----------
    items : Items
        Only those that have a partner.
    partners : Tensor [c, d]
        Unit norm, by class.
    columns : int64 Tensor [m]
        The class of each item.
    """

    items: Items
    partners: Tensor = field(metadata=STATISTICS)
    columns: Tensor = field(metadata=MEMORY)


@dataclass(frozen=True, eq=False)
class Enriched:
    """The fusion layers, both sides of the memory, the class texts [c, d], and which classes have one, bool [c]."""

    fusion: Fusion
    image: Side
    text: Side
    texts: Tensor = field(metadata=STATISTICS)
    has_text: Tensor = field(metadata=STATISTICS)


@method(
    "reco",
    paper="Iscen et al., Retrieval-Enhanced Contrastive Vision-Text Models, ICLR 2024, arXiv:2306.07196",
    equation="section 3: v' = fusion(v, texts of the k nearest images), t' = fusion(t, images of the k nearest texts); "
    "contrastive losses of (v', t'), (v', t) and (v, t')",
    adapted="items are paired by class: the partner of an image is the text of its keyword class, that of a text the "
    "mean image of its class; one attention head; its output matrices start at zero, since seen classes are "
    "few beside the paper's millions of pairs; contrast is between the images of a batch and all seen classes; "
    "Adam, its rate, epochs, features of norm 10 and the logit scale are ours, chosen as docs/selection.md says; "
    "layer normalisations of query, keys and values have weights of their own",
    needs=("images", "texts", "training"),
    selection="validation",
    stores_items=True,
)
@dataclass(frozen=True, kw_only=True)
class RECO:
    """Enrich image and class text with the other modality of what they retrieve, then compare by cosine.

    Fusion is one pre-norm transformer layer over the query and the partners of its k nearest items, read at the
    query. It is trained once on seen classes; for others only the memory is exchanged.

    Attributes
    ----------
    feature_norm : float
        Norm of the features in the fusion layer; its residual sums depend on it.
    """

    k: Annotated[int, Ge(1)] = 10
    feature_norm: Annotated[float, Gt(0), Le(1e15)] = 10.0
    logit_scale: Annotated[float, Gt(0)] = 100.0
    lr: Annotated[float, Gt(0)] = 1e-5
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    epochs: Annotated[int, Ge(0)] = 30
    patience: Annotated[int, Ge(1)] = 10
    batch: Annotated[int, Ge(1)] = 256
    weights: Fusion | None = field(default=None, metadata={"param": False})
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def train(self, training: Session, validation: Session | None, *, rng: Stream) -> RECO:
        """Return the method with fusion layers trained on seen classes, from the best epoch on validation classes."""
        state = self.build(training.task, rng=rng)
        check = None if validation is None else replace(self, weights=state.fusion).build(validation.task, rng=rng)
        trainable = Fusion(state.fusion.image.map(as_parameter), state.fusion.text.map(as_parameter))
        keep = state.has_text[training.targets]
        targets = training.targets[keep]
        if not len(targets):
            raise BenchError("reco: no training image has a class with a text; import the data set with --texts")
        x = only(made_rows(training.queries.x, torch.Tensor.float), keep)
        v, t = only(unit_rows(training.queries.x), keep), state.texts
        near_v = self._columns_near(state.image, x, training.queries.ids[keep.cpu().numpy()])
        near_t = self._columns_near(state.text, t)

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(x.device)
            own = v[rows]
            fused_v = self._fuse(trainable.image, own, state.image.partners, near_v[rows])
            fused_t = self._fuse(trainable.text, t, state.text.partners, near_t)
            pairs = ((fused_v, fused_t), (fused_v, t), (own, fused_t))
            # Asked for once a batch and not once a pair: the device is waited for, for how many classes there are.
            shown, at = torch.unique(targets[rows], return_inverse=True)
            parts = (self._contrast(a, b, state.has_text, targets[rows], shown, at) for a, b in pairs)
            return sum(parts, start=t.new_zeros(()))

        def accuracy() -> float:
            assert check is not None
            assert validation is not None
            with torch.no_grad():
                scores = self.score(replace(check, fusion=trainable), validation.queries.x)
            return float((scores.argmax(1) == validation.targets).float().mean())

        leaves = [*trainable.image.tensors(), *trainable.text.tensors()]
        done = fit(
            leaves,
            loss,
            len(x),
            owner="reco",
            optimiser=torch.optim.Adam(leaves, lr=self.lr, weight_decay=self.weight_decay, fused=True),
            epochs=self.epochs,
            batch=self.batch,
            patience=self.patience,
            validate=accuracy if check is not None else None,
            rng=rng.child("fit"),
            options=self.training_options,
        )
        image, text = (block.map(torch.Tensor.detach) for block in (trainable.image, trainable.text))
        on, tried = ("nothing", 1) if check is None else ("validation classes", 1 + done.epochs)
        return replace(self, weights=Fusion(image, text, epoch=done.best_epoch, chosen_on=on, tried=tried))

    def build(self, task: Task, *, rng: Stream) -> Enriched:
        """Return the fusion layers with this task's memory."""
        fusion = self.weights
        if fusion is None:
            drawn = (Block.initial(task.dimension, rng.child("init", name)).at("zero") for name in ("image", "text"))
            image, text = (block.map(lambda w: w.to(task.device)) for block in drawn)
            fusion = Fusion(image, text)
        images = task.image_memory
        at = task.columns(images.labels)
        pictures = normalise(class_means(unit_rows(images.x), at, task.n_classes))
        texts, has_text = class_texts(task)
        return Enriched(
            fusion,
            _side(images, texts, has_text, task),
            _side(task.text_memory, pictures, class_counts(at, task.n_classes) > 0, task),
            texts,
            has_text,
        )

    def score(self, state: Enriched, queries: Tensor) -> Tensor:
        """Return cosines of enriched images and enriched class texts times 100, [q, c].

        A class without a text gets minus infinity.
        """
        near_texts = self._columns_near(state.text, state.texts)
        texts = self._fuse(state.fusion.text, state.texts, state.text.partners, near_texts)
        near, partners = self._columns_near(state.image, queries), state.image.partners
        v = normalise(queries)
        parts = [
            self._fuse(state.fusion.image, v[a : a + _CHUNK], partners, near[a : a + _CHUNK]) @ texts.T
            for a in range(0, len(v), _CHUNK)
        ]
        scores = torch.cat(parts) if parts else v.new_zeros(0, len(texts))
        return (self.logit_scale * scores).masked_fill(~state.has_text, -torch.inf)

    def describe(self, state: Enriched) -> dict[str, Any]:
        """Return how many items each modality retrieves from, how many classes have no text, and the epoch kept."""
        return {
            "chosen_on": state.fusion.chosen_on,
            "configurations": state.fusion.tried,
            "epoch": state.fusion.epoch,
            "untrained_start_chosen": state.fusion.epoch == 0,
            "image_items": len(state.image.items),
            "text_items": len(state.text.items),
            "classes_without_text": int((~state.has_text).sum()),
            "k_used": min(self.k, len(state.image.items)),
        }

    def _columns_near(self, side: Side, queries: ManyRows, own: np.ndarray | None = None) -> Tensor:
        """Return the classes of each query's k nearest items, int64 [q, k]; the items named ``own`` are passed over."""
        k = self.k if own is None else self.k + 1
        # The search of all queries of a session is known by them, and so is its recall.
        if isinstance(queries, Tensor) and len(queries) <= _SEARCHED:
            blocks = [queries]
        else:
            blocks = [queries[here] for here in _slices(len(queries))]
        parts = [side.items.index.search(block, k).positions for block in blocks]
        found = torch.cat(parts) if len(parts) > 1 else parts[0]
        if own is not None:
            found = drop_self(found, found == side.items.places_of(own).to(found.device).unsqueeze(1))
        return side.columns[found]

    def _fuse(self, block: Block, f: Tensor, partners: Tensor, near: Tensor) -> Tensor:
        """Return enriched unit-norm features [q, d] of unit-norm features [q, d], which attend to themselves too.

        Parameters
        ----------
        partners : Tensor [c, d]
            Unit norm, by class.
        near : int64 Tensor [q, k]
            The classes of the items near to each.
        """
        themselves = torch.arange(len(f), device=f.device).unsqueeze(1)
        places = torch.cat([themselves, len(f) + near], 1)
        tokens = Neighbours(standardise(torch.cat([f, partners]) * self.feature_norm), places)
        return F.normalize(transform_near(block, f * self.feature_norm, tokens), dim=1)

    def _contrast(
        self, images: Tensor, texts: Tensor, has_text: Tensor, targets: Tensor, shown: Tensor, at: Tensor
    ) -> Tensor:
        """Return the mean of image-to-text and text-to-image cross-entropy.

        Parameters
        ----------
        targets : int64 Tensor [b]
            The column of each image's class.
        shown : int64 Tensor [u]
            The columns that occur among them.
        at : int64 Tensor [b]
            The place of each image's column in ``shown``.
        """
        logits = (self.logit_scale * images @ texts.T).masked_fill(~has_text, -torch.inf)
        to_text = F.cross_entropy(logits, targets)
        # Only classes that the batch shows have an image to be told from the others.
        to_image = -logits[:, shown].log_softmax(0).gather(1, at.unsqueeze(1)).mean()
        return (to_text + to_image) / 2


def _slices(n: int) -> list[slice]:
    """Return which queries are searched for at a time; one block at least."""
    return [slice(start, start + _SEARCHED) for start in range(0, max(1, n), _SEARCHED)]


def _side(items: Items, partners: Tensor, has_partner: Tensor, task: Task) -> Side:
    columns = task.columns(items.labels)
    keep = has_partner[columns]
    return Side(items.take(keep), partners, columns[keep])
