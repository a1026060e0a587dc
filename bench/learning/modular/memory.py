"""What a task's memory becomes in the memory-modular learner: items to retrieve from, and prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.core.memory import Items
from bench.core.state_bytes import nbytes
from bench.core.task import Task
from bench.functional.classwise import class_counts, class_means, nearest_to_means, normalise
from bench.functional.stored_rows import blocks_of, made_rows
from bench.learning.half_adam import HALF_MAX
from bench.learning.modular.state import Branch, Modular, Weights
from bench.learning.prototypes import Kind, carried_over, prototypes
from bench.utils.errors import BenchError
from bench.utils.random import Stream

USUAL_NORM = 10.0
"""About the norm of CLIP ViT-B/32 features as the encoder gives them."""
_UNIT = 1e-2
"""How far from 1 norms may lie of features that were stored with unit norm, in half precision too."""


@dataclass(frozen=True, kw_only=True)
class Plugging:
    """How a memory is plugged in; the fields are parameters of :class:`bench.methods.mml.MML`."""

    prototypes: Literal["auto"] | Kind
    prototype_items: int
    memory: Literal["separate", "image", "text", "unified"]
    coverage: float
    feature_norm: float | Literal["raw"] | None

    def plug(
        self,
        task: Task,
        weights: Weights,
        *,
        images: Items | None = None,
        texts: Items | None = None,
        known: Modular | None = None,
        rng: Stream,
    ) -> Modular:
        """Return the weights with the items and prototypes of a task, cut to its budget.

        Parameters
        ----------
        images, texts : Items, optional
            In place of those of the task's memory.
        known : Modular, optional
            The state of the session before; its prototypes stay for classes that this session brings no support of.
        """
        capped = task.budget.limited
        if images is None:
            images = task.all_images if capped else task.image_memory
        if texts is None:
            texts = task.text_memory
        # Beside the items: the weights, and a float32 prototype of each class in both modalities.
        quota = task.quota(reserved=nbytes(weights) + 2 * 4 * task.n_classes * task.dimension)
        if quota is not None:
            # All elements count: a class's texts take at most half of what it may keep, its images the rest.
            texts = _shrink(texts, task, [quota // 2] * task.n_classes)
            taken = class_counts(task.columns(texts.labels), task.n_classes).tolist()
            images = _shrink(images, task, [quota - count for count in taken])
        norm = self._norm(images, texts)
        if norm is None and weights.image.out_bias.dtype == torch.float16:
            _check_range(images, texts)
        image, text = self._prototypes(
            task, images, texts, known, raw=norm is None and self.feature_norm == "raw", rng=rng
        )
        both = Items.concat([images, texts]) if self.memory == "unified" else None
        on = [
            len(items) > 0 and len(items.labels.unique()) >= self.coverage * task.n_classes for items in (images, texts)
        ]
        return Modular(
            weights,
            Branch(images, images if both is None else both, image, on[0] or not on[1]),
            Branch(texts, texts if both is None else both, text, on[1]),
            norm,
        )

    def _norm(self, images: Items, texts: Items) -> float | None:
        if self.feature_norm != "raw":
            return self.feature_norm
        norms = torch.cat([items.x[:256].float().norm(dim=1) for items in (images, texts)])
        return USUAL_NORM if bool(((norms - 1).abs() < _UNIT).all()) else None

    def _prototypes(
        self, task: Task, images: Items, texts: Items, known: Modular | None, *, raw: bool, rng: Stream
    ) -> tuple[Tensor, Tensor]:
        # The items that prototypes are made of are those that are retrieved, unless the task tells them apart.
        apart = task.prototype_memory is not None
        own_images = task.for_prototypes.image_memory if apart else images
        own_texts = task.for_prototypes.text_memory if apart else texts
        few_shot = self.prototypes == "auto" and len(task.support) > 0
        shots = images if task.budget.limited else Items.of_features(task.support, "support")
        if few_shot:
            # A class with shots seeks consensus with them and not with the images of the memory.
            without = class_counts(task.columns(shots.labels), task.n_classes)[task.columns(own_images.labels)] == 0
            own_images = Items.concat([shots, own_images.take(without)])
        text_columns = task.columns(own_texts.labels)
        image, text = prototypes(
            own_images.x,
            task.columns(own_images.labels),
            own_texts.x,
            text_columns,
            task.n_classes,
            kind="cross-modal" if self.prototypes == "auto" else self.prototypes,
            count=self.prototype_items,
            raw=raw,
            rng=rng.child("prototypes"),
        )
        if not few_shot:
            return image, text
        x = made_rows(shots.x, torch.Tensor.float if raw else normalise)
        means = normalise(class_means(x, task.columns(shots.labels), task.n_classes))
        has = (means != 0).any(1, keepdim=True)
        if known is not None:
            rows = len(known.image.prototypes)
            kept = torch.zeros_like(means), torch.zeros_like(text)
            kept[0][:rows], kept[1][:rows] = known.image.prototypes, known.text.prototypes
            old = ~has & (torch.arange(task.n_classes, device=has.device) < rows).unsqueeze(1)
            means, text = torch.where(old, kept[0], means), torch.where(old, kept[1], text)
            has = has | old
        with_text = class_counts(text_columns, task.n_classes).unsqueeze(1) > 0
        instead = carried_over(means, text, (has & with_text).squeeze(1))
        return torch.where(has, means, image), torch.where(has & ~with_text, instead, text)


def _check_range(*parts: Items) -> None:
    """Raise :class:`BenchError` for features as they are stored that the code of the paper could not hold."""
    norms = (rows.float().norm(dim=1).amax() for items in parts for _, rows in blocks_of(items.x))
    largest = max(map(float, norms), default=0.0)
    if not largest <= HALF_MAX:
        raise BenchError(
            f"features of norm {largest:g} are out of the range of float16, which ends at {HALF_MAX:g}; set "
            "mml.feature_norm=10, or mml.precision=float32"
        )


def new_items(items: Items, old: Items) -> Items:
    """Return the items that are not among the old ones (class texts are dealt again in every session)."""
    return items.take(~np.isin(items.ids, old.ids))


def _shrink(items: Items, task: Task, quotas: list[int]) -> Items:
    """Return no more items of each class than its quota, those nearest to the mean of the class's items.

    ``quotas`` are in column order; classes stand in the order of their ids.
    """
    columns = task.columns(items.labels)
    limits = torch.tensor(quotas, device=columns.device).clamp(min=0)
    kept = nearest_to_means(items.x, columns, task.n_classes, limits).nonzero()[:, 0]
    if len(kept) == len(items):
        return items
    places = torch.tensor(task.classes, device=columns.device).argsort().argsort()
    return items.take(kept[places[columns[kept]].argsort(stable=True)])
