"""Class prototypes: one unit-norm vector a class, from labelled or weakly labelled items."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bench.functional.classwise import class_counts, class_means, class_sums, normalise, unit_rows
from bench.functional.stored_rows import blocks_of
from bench.utils.random import Stream

Kind = Literal["cross-modal", "all", "random", "images", "texts"]
"""How prototypes are made: from the items with the highest cross-modal consensus, from all items, from random items,
or from the consensus items of one modality, which then serve both branches."""


def consensus(x: Tensor, columns: Tensor, other: Tensor, other_columns: Tensor, n_classes: int) -> Tensor:
    """Return the summed cosine of each item with all items of the other modality in its class, float32 [m].

    Kang et al., Memory-Modular Classification, TMLR 2025, eq. 1: row sums of the class's cosine matrix. The sum
    over t of cos(v, t) is v . sum(t), so no matrix is formed.
    """
    totals = class_sums(other, other_columns, n_classes, unit=True)
    parts = [(normalise(rows).double() * totals[columns[here]]).sum(1) for here, rows in blocks_of(x)]
    return torch.cat(parts).float() if parts else totals.new_zeros(0).float()


def best_of_each_class(score: Tensor, columns: Tensor, count: int) -> Tensor:
    """Return a mask of the ``count`` items with the largest score in each class; ties go to the first item."""
    order = torch.sort(score, descending=True, stable=True).indices
    order = order[torch.sort(columns[order], stable=True).indices]
    sorted_columns = columns[order]
    first = torch.searchsorted(sorted_columns, sorted_columns)
    mask = torch.zeros(len(score), dtype=torch.bool, device=score.device)
    mask[order] = torch.arange(len(score), device=score.device) - first < count
    return mask


def _selected_means(
    x: Tensor,
    columns: Tensor,
    other: Tensor,
    other_columns: Tensor,
    n_classes: int,
    *,
    kind: Kind,
    count: int,
    raw: bool,
    rng: Stream,
) -> Tensor:
    if kind == "all":
        keep = torch.ones(len(x), dtype=torch.bool, device=x.device)
    elif kind == "random":
        draw = torch.from_numpy(rng.permutation(len(x))).to(x.device)
        keep = best_of_each_class(draw.float(), columns, count)
    else:
        keep = best_of_each_class(consensus(x, columns, other, other_columns, n_classes), columns, count)
        # Without items of the other modality there is no consensus to seek, and every item counts.
        keep |= class_counts(other_columns, n_classes)[columns] == 0
    return normalise(class_means(x[keep] if raw else unit_rows(x[keep]), columns[keep], n_classes))


def carried_over(images: Tensor, texts: Tensor, both: Tensor) -> Tensor:
    """Return image prototypes moved by the mean difference between a class's text and image prototype, [c, d].

    Encoders keep images and texts in two cones (Liang et al., Mind the Gap, NeurIPS 2022, arXiv:2203.02053), and an
    image is far nearer to any image than to its text. An image prototype among text prototypes as it is would be taken
    for the answer to nearly every query.

    Parameters
    ----------
    images, texts : Tensor [c, d]
        Prototypes.
    both : bool Tensor [c]
        The classes that have both; where there are none, the image prototypes are returned as they are.
    """
    return normalise(images + (texts - images)[both].mean(0)) if both.any() else images


def prototypes(
    images: Tensor,
    image_columns: Tensor,
    texts: Tensor,
    text_columns: Tensor,
    n_classes: int,
    *,
    kind: Kind = "cross-modal",
    count: int = 16,
    raw: bool = False,
    rng: Stream,
) -> tuple[Tensor, Tensor]:
    """Return image and text prototypes, unit norm, each [c, d].

    Kang et al., TMLR 2025, eq. 1, with M = ``count``. A class without images uses its text prototype for both, as in
    the paper. A class without texts uses its image prototype, carried over to where texts lie
    (:func:`carried_over`), unless ``kind`` is ``images``. A class without any has zeros.

    Parameters
    ----------
    images, texts : Tensor [m, d], [t, d]
    image_columns, text_columns : int64 Tensor [m], [t]
        Class of each item, in ``range(n_classes)``.
    raw : bool
        Take means of the vectors as they are, as the official code does, and not of unit-norm ones.
    """
    image = _selected_means(
        images, image_columns, texts, text_columns, n_classes, kind=kind, count=count, raw=raw, rng=rng.child("images")
    )
    text = _selected_means(
        texts, text_columns, images, image_columns, n_classes, kind=kind, count=count, raw=raw, rng=rng.child("texts")
    )
    has_image = class_counts(image_columns, n_classes).unsqueeze(1) > 0
    has_text = class_counts(text_columns, n_classes).unsqueeze(1) > 0
    instead = image if kind == "images" else carried_over(image, text, (has_image & has_text).squeeze(1))
    if kind == "images":
        has_text = has_text & ~has_image
    if kind == "texts":
        has_image = has_image & ~has_text
    return torch.where(has_image, image, text), torch.where(has_text, text, torch.where(has_image, instead, text))
