"""TransCLIP: a Gaussian mixture over all queries, held to zero-shot answers and to those of near queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.classwise import class_sums, normalise
from bench.functional.propagation import Graph
from bench.functional.stored_rows import blocks_of
from bench.learning.choosing import first_best, held_images, told_of_choice
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.search import Index, top_k
from bench.utils.random import Stream

_GAMMAS = (0.002, 0.01, 0.02, 0.2)
_SURE = 8
"""Queries that the mean of a class starts from."""
_NEIGHBOURS = 3
_SHOTS = 50.0
"""By how much labelled images count above queries, before gamma."""


@dataclass(frozen=True, eq=False)
class Given:
    """Class texts, labelled images, and those of them that gamma is chosen on.

    Attributes
    ----------
    texts : Tensor [c, d]
    shots : Tensor [n, d]
        Unit norm.
    columns : int64 Tensor [n]
    check, wanted : Tensor [h, d], int64 Tensor [h]
        Images to choose on and their columns.
    rest : bool Tensor [n]
        The shots that are left while it is chosen.
    """

    texts: Tensor = field(metadata=STATISTICS)
    shots: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)
    check: Tensor = field(metadata=MEMORY)
    wanted: Tensor = field(metadata=MEMORY)
    rest: Tensor = field(metadata=MEMORY)


@dataclass(frozen=True, eq=False)
class _Shots:
    """Labelled images [n, d] with their columns, and the links of each to its nearest queries."""

    x: Tensor
    columns: Tensor
    n_classes: int
    links: Graph

    @staticmethod
    def of(x: Tensor, shots: Tensor, columns: Tensor, n_classes: int) -> _Shots:
        """Return labelled images beside queries [q, d]."""
        near = top_k(shots, x, min(_NEIGHBOURS, len(x)))
        return _Shots(shots, columns, n_classes, Graph(near.positions, near.similarities.to(x.dtype)))

    def said(self, out: Tensor) -> Tensor:
        """Return ``out`` [q, c] with the class of each added to the queries that it is linked to."""
        columns = self.columns.unsqueeze(1).expand_as(self.links.to)
        return out.index_put_((self.links.to, columns), self.links.weights, accumulate=True)

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """How many there are of each class [c], their sums [c, d], and the squares of all [d]."""
        # Not bincount, for which a device is waited for.
        ones = self.x.new_ones(len(self.columns))
        counts = self.x.new_zeros(self.n_classes).index_add_(0, self.columns, ones)
        squares = sum(((rows * rows).sum(0) for _, rows in blocks_of(self.x)), self.x.new_zeros(self.x.shape[1]))
        return counts, class_sums(self.x, self.columns, self.n_classes).to(self.x.dtype), squares


@method(
    "transclip",
    paper="Zanella et al., Boosting Vision-Language Models with Transduction, NeurIPS 2024, arXiv:2406.01837",
    equation="z ~ y^lambda exp(-sum (x - mu)^2 / (100 var) + (W + W') z / 6), then mu and var",
    adapted="links of labelled images stand where their assignments do, which the code has in another order, and each "
    "has its 3 nearest queries, where the code leaves out the nearest; the number of classes is the task's, where the "
    "code takes that of the query labels; gamma is chosen on held-out support unless the run gives a validation split",
    needs=("prompts",),
    selection="support-heldout",
    sees="set",
)
@dataclass(frozen=True, kw_only=True)
class TransCLIP:
    """Assign all queries of a session together.

    As the official code has it (MaxZanella/transduction-for-vlms, commit 6a9e8f3, TransCLIP_solver): y and z start as
    softmax(100 x T'); mu_c as the z-weighed mean of its 8 surest queries, or of its labelled images; the variance of
    each dimension as 1 / d. Eleven rounds of five updates of z, with mu and variance anew between them; W holds the
    cosines of each query to its 3 nearest others. lambda is 1, and 0.5 with labelled images, which then weigh
    50 gamma / n against 1 / q; gamma is the first of 0.002, 0.01, 0.02, 0.2 by which most of the images to choose on
    have a nearest query with their class. A class that no query is assigned to keeps its mean.

    Attributes
    ----------
    gamma : float or None
        None chooses; where nothing can be chosen on it is 0.02.
    """

    gamma: Annotated[float, Ge(0)] | None = None
    default_gamma: Annotated[float, Ge(0)] = 0.02
    held_out: Annotated[int, Ge(1)] = 4
    rounds: Annotated[int, Ge(0)] = 10
    updates: Annotated[int, Ge(1)] = 5

    def build(self, task: Task, *, rng: Stream) -> Given:
        """Return texts and labelled images."""
        texts, support = prompt_matrix(task), task.support
        assert texts is not None
        shots, columns = normalise(support.x), task.columns(support.labels)
        held = held_images(task, task.labelled, limit=self.held_out) if len(support) and self.gamma is None else None
        if held is None:
            none = torch.ones(len(shots), dtype=torch.bool, device=shots.device)
            return Given(texts, shots, columns, shots[:0], columns[:0], none)
        return Given(texts, shots, columns, held.x, held.columns, held.rest)

    def score(self, state: Given, queries: Tensor) -> Tensor:
        """Return the logarithms of the assignments of all queries, [q, c]."""
        x, c = normalise(queries), len(state.texts)
        among = _among(x)
        if not len(state.shots):
            return self._solve(state, x, among, _Shots.of(x, state.shots, state.columns, c), 0.0).log()
        gamma = self.default_gamma if self.gamma is None else self.gamma
        if len(state.check):
            near = top_k(state.check, x, 1).positions[:, 0]
            some = _Shots.of(x, state.shots[state.rest], state.columns[state.rest], c)
            found = [self._solve(state, x, among, some, g).argmax(1)[near] for g in _GAMMAS]
            gamma = _GAMMAS[first_best(((one == state.wanted).sum() for one in found), len(_GAMMAS))]
        return self._solve(state, x, among, _Shots.of(x, state.shots, state.columns, c), gamma).log()

    def _solve(self, state: Given, x: Tensor, among: Graph, shots: _Shots, gamma: float) -> Tensor:
        """Return the assignments [q, c]; zeros are raised to the least number that has a logarithm."""
        q, d = x.shape
        few = len(shots.x) > 0
        y = (LOGIT_SCALE * x @ state.texts.T).log_softmax(1)
        prior, z = (0.5 if few else 1.0) * y, y.exp()
        # What labelled images say of the queries they are linked to is the same in all updates.
        said = shots.said(torch.zeros_like(z)) if few else 0.0
        mu = normalise(shots.moments[1]) if few else _surest(x, z)
        variance = x.new_full((d,), 1 / d)
        weight = _SHOTS * gamma / max(1, len(shots.x))
        for round_ in range(self.rounds + 1):
            far = _squares(x, mu, 1 / variance)
            for _ in range(self.updates):
                z = (prior - far / 100 + (among.times(z) + said) / (2 * _NEIGHBOURS)).softmax(1)
            if round_ == self.rounds:
                break
            mu, variance = _moments(x, z / q, shots.moments, weight, mu)
        return z.clamp(min=torch.finfo(z.dtype).tiny)

    def describe(self, state: Given) -> dict[str, Any]:
        """Return on how many images gamma is chosen, among how many values."""
        tried = len(_GAMMAS) if len(state.check) else 1
        return told_of_choice(len(state.check), tried, wanted=self.gamma is None and len(state.shots) > 0)


def _among(x: Tensor) -> Graph:
    """Return the links of queries to their nearest others."""
    found = Index(x).search(x, _NEIGHBOURS + 1)
    own = found.positions == torch.arange(len(x), device=x.device).unsqueeze(1)
    # The query itself comes first unless another is its equal; the last is left out where it is not among them.
    order = own.to(torch.int8).sort(dim=1, stable=True).indices[:, : min(_NEIGHBOURS, max(0, len(x) - 1))]
    return Graph(found.positions.gather(1, order), found.similarities.gather(1, order).to(x.dtype))


def _surest(x: Tensor, z: Tensor) -> Tensor:
    """Return the unit mean of the surest queries of each class, weighed by z, [c, d]."""
    top = z.topk(min(_SURE, len(z)), dim=0)
    mask = torch.zeros_like(z).scatter(0, top.indices, top.values)
    return normalise(mask.T @ x)


def _squares(x: Tensor, mu: Tensor, weights: Tensor) -> Tensor:
    """Return sum_k w_k (x_k - mu_k)^2 of each row and class, [q, c]."""
    own, theirs = (x * x) @ weights, (mu * mu) @ weights
    return own.unsqueeze(1) - 2 * (x * weights) @ mu.T + theirs


def _moments(
    x: Tensor, z: Tensor, shots: tuple[Tensor, Tensor, Tensor], weight: float, mu: Tensor
) -> tuple[Tensor, Tensor]:
    """Return unit means [c, d] and the variance of each dimension [d] under weights z [q, c], and that of each shot."""
    counts, own, own_squares = shots
    total = z.sum(0) + weight * counts
    sums = z.T @ x + weight * own
    mean = torch.where((total > 0).unsqueeze(1), normalise(sums), mu)
    squares = (x * x).T @ z.sum(1) + weight * own_squares
    spread = squares - 2 * (sums * mean).sum(0) + (mean * mean).T @ total
    return mean, (spread / total.sum()).clamp(min=1e-12)
