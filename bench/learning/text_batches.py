"""A head that is trained on images and class texts alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.functional.stored_rows import ManyRows
from bench.learning.class_texts import LOGIT_SCALE
from bench.utils.random import Stream


def with_a_text_each(
    weights: Tensor, x: ManyRows, columns: Tensor, texts: Tensor, *, rng: Stream
) -> Callable[[Tensor], Tensor]:
    """Return the cross-entropy of rows of ``x`` [n, d] and of as many class texts [c, d] under a head [c, d].

    Texts are dealt to the images once, in a drawn order that starts anew after c of them, so that an image has the same
    text beside it in each epoch.
    """
    c = len(texts)
    order = torch.from_numpy(rng.child("texts").permutation(c)).to(x.device)
    beside = order[torch.arange(len(x), device=x.device) % c]

    def loss(rows: Tensor) -> Tensor:
        rows = rows.to(x.device)
        own = beside[rows]
        z, y = torch.cat([x[rows], texts[own]]), torch.cat([columns[rows], own])
        return F.cross_entropy(LOGIT_SCALE * z @ weights.T, y)

    return loss
