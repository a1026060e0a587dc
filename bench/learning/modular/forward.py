"""The forward pass of the memory-modular learner: retrieval, integration and comparison with prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.features import Features
from bench.functional.attention import Block, integrate, standardise
from bench.functional.classwise import drop_self, normalise
from bench.functional.fused_attention import Neighbours, transform_near
from bench.functional.stored_rows import MadeRows, ManyRows, are_many, made_rows
from bench.learning.modular.state import Branch, Modular, Weights

BLOCK = 256
"""Queries integrated at a time: the 256 x 32 x 512 numbers of their neighbours are 16 MiB."""
_FEW = 1 << 15
"""Items up to which a whole memory is prepared: 64 MiB at d = 512. Of a larger one only what some query meets is."""

Integration = Literal["attention", "mean", "self", "none"]


@dataclass(frozen=True, eq=False)
class Near:
    """The neighbours of queries in one branch: items as the integration takes them, and each one's place among them."""

    items: ManyRows
    places: Tensor

    def of(self, rows: Tensor | slice) -> Neighbours:
        """Return the neighbours of some queries; of items that are made as they are met, those that these meet."""
        at = self.places[rows]
        if isinstance(self.items, Tensor):
            return Neighbours(self.items, at)
        met, places = at.unique(return_inverse=True)
        return Neighbours(self.items[met], places)


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries at the norm of the state, [q, d], and their neighbours in both branches; None where none are used."""

    f: ManyRows
    image: Near | None
    text: Near | None


@dataclass(frozen=True, kw_only=True)
class Forward:
    """How queries meet the memory; the fields are parameters of :class:`bench.methods.mml.MML`."""

    k: int
    integration: Integration
    memory: Literal["separate", "image", "text", "unified"]

    @property
    def trainable(self) -> bool:
        """Whether the scores depend on the weights of the blocks."""
        return self.integration in ("attention", "self")

    def scale(self, state: Modular, x: Tensor) -> Tensor:
        """Return vectors at the norm of the state, float32."""
        return x.float() if state.norm is None else normalise(x) * state.norm

    def prepare(self, state: Modular, x: Tensor) -> Tensor:
        """Return items as the integration takes them: standardised, or only scaled for the plain mean."""
        scaled = self.scale(state, x)
        return scaled if self.integration == "mean" else standardise(scaled)

    def places(self, state: Modular, queries: Tensor, k: int | None = None) -> list[Tensor | None]:
        """Return the positions of each query's neighbours in both branches; None where nothing is retrieved."""
        found: list[Tensor | None] = []
        for name, branch in (("image", state.image), ("text", state.text)):
            off = self.integration in ("none", "self") or (self.memory in ("image", "text") and self.memory != name)
            # The one branch of a unified memory is the first.
            off = off or (self.memory == "unified" and name == "text")
            off = off or (not branch.on and self.memory != "unified") or not len(branch.searched)
            found.append(None if off else branch.searched.index.search(queries, k or self.k).positions)
        return found

    def ask(self, state: Modular, queries: Tensor, ids: Features | None = None) -> Asked:
        """Return queries with their neighbours, each item that is met prepared once.

        Parameters
        ----------
        ids : Features, optional
            The queries as training images, which never retrieve themselves where they are in the memory too.
        """
        places = self.places(state, queries, self.k + 1 if ids is not None else None)
        near: list[Near | None] = []
        for branch, at in zip((state.image, state.text), places, strict=True):
            if at is None:
                near.append(None)
                continue
            if ids is not None:
                own = branch.searched.places_of(ids.ids).to(at.device)
                at = drop_self(at, at == own.unsqueeze(1))[:, : self.k]
            near.append(self._near(state, branch, at))
        return Asked(made_rows(queries, partial(self.scale, state)), *near)

    def _near(self, state: Modular, branch: Branch, at: Tensor) -> Near:
        if len(branch.searched) <= _FEW:
            return Near(self.prepare(state, branch.searched.x), at)
        met, places = at.unique(return_inverse=True)
        if are_many(len(met) * branch.searched.dimension):
            return Near(MadeRows(branch.searched.x, partial(self.prepare, state)), at)
        return Near(self.prepare(state, branch.searched.x[met]), places)

    def embed(self, block: Block, f: Tensor, near: Neighbours | None) -> Tensor:
        """Return features with what their neighbours know, eq. 3, [q, d]; not normalised."""
        if self.integration == "self":
            return integrate(block, f, standardise(f).unsqueeze(1))
        if near is None:
            return f
        return f + (near.each.mean(1) if self.integration == "mean" else transform_near(block, f, near))

    def cosines(self, state: Modular, weights: Weights, asked: Asked, rows: Tensor | slice) -> list[Tensor | None]:
        """Return cosines to the image and to the text prototypes of some queries, [q, c] each; None for what is off."""
        image, text = (branch.prototypes if branch.on else None for branch in (state.image, state.text))
        f = asked.f[rows]
        if weights.text is None:
            both = self._unit(weights.image, f, asked.image, rows)
            return [None if p is None else both @ p.T for p in (image, text)]
        return [
            None if image is None else self._unit(weights.image, f, asked.image, rows) @ image.T,
            None if text is None else self._unit(weights.text, f, asked.text, rows) @ text.T,
        ]

    def _unit(self, block: Block, f: Tensor, near: Near | None, rows: Tensor | slice) -> Tensor:
        # Float16 weights count as the numbers they are; products and sums are float32.
        own = block.map(torch.Tensor.float)
        return F.normalize(self.embed(own, f, None if near is None else near.of(rows)), dim=1)

    def scores(self, state: Modular, weights: Weights, asked: Asked, rows: Tensor | slice) -> Tensor:
        """Return the weighted sum of cosines, eq. 4, [q, c]."""
        image, text = self.cosines(state, weights, asked, rows)
        if image is None or text is None:
            # The weight of a branch says nothing where it is the only one.
            return next(part for part in (image, text) if part is not None)
        return weights.image_weight * image + text

    def score(self, state: Modular, queries: Tensor) -> Tensor:
        """Return scores of all queries, in blocks, [q, c]."""
        asked = self.ask(state, queries)
        rows = [slice(a, a + BLOCK) for a in range(0, len(queries), BLOCK)]
        parts = [self.scores(state, state.weights, asked, part) for part in rows]
        return torch.cat(parts) if parts else state.image.prototypes.new_zeros(0, len(state.image.prototypes))
