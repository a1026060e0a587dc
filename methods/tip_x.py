"""TIP-X: Tip-Adapter with the distance of zero-shot distributions beside the cosine of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.blocks import in_blocks, sums_by_class
from bench.functional.classwise import class_counts, normalise
from bench.learning.choosing import CacheWeights, first_best, held_images, steps
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.holdout import digest_order
from bench.utils.random import Stream

_REFERENCE = 256
"""Items whose distances to all give the ranges where there is nothing to choose on."""


@dataclass(frozen=True, eq=False)
class Keys:
    """The images, what they are likened to classes as, and how their distances are brought to the range of cosines.

    Attributes
    ----------
    keys : Tensor [n, d]
        Unit norm.
    columns : int64 Tensor [n]
    shares : Tensor [n]
        What each item counts: the mean size of a class over that of its own.
    log_p : Tensor [n, c]
        Logarithms of softmax(cos / temperature) of each item with the class texts.
    ranges : Tensor [4]
        Smallest and largest distance, smallest and largest cosine, on images that are no queries.
    """

    keys: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)
    shares: Tensor = field(metadata=MEMORY)
    log_p: Tensor = field(metadata=MEMORY)
    texts: Tensor = field(metadata=STATISTICS)
    ranges: Tensor = field(metadata=STATISTICS)
    chosen: CacheWeights


@method(
    "tip-x",
    paper="Udandarao et al., SuS-X: Training-Free Name-Only Transfer of Vision-Language Models, ICCV 2023, "
    "arXiv:2211.16198",
    equation="logits = 100 x T' + alpha exp(-beta (1 - x S')) L - gamma psi(D) L; D = KL(p_x | p_s), "
    "p = softmax(cos / 0.5)",
    adapted="psi, which maps the range of D onto that of x S', takes both ranges on images to choose on, where the "
    "code takes them over all queries; classes count alike whatever their sizes; the grid has its ranges and fewer "
    "steps (10 x 20 x 10; tip-x-full has the code's 20 x 200 x 50); settings are chosen on held-out support unless the "
    "run gives a validation split; without images to choose on the grid's first values are taken",
    needs=("images", "prompts"),
    selection="support-heldout",
    stores_items=True,
    variants={"tip-x-full": {"alpha_steps": 20, "beta_steps": 200, "gamma_steps": 50}},
)
@dataclass(frozen=True, kw_only=True)
class TipX:
    """Add affinities to images and take away how differently an image and a query are likened to classes.

    Ranges of the grid are the official code's (vishaal27/SuS-X, commit d7d4d37, tipx.py): alpha from 0.1 to 50, beta
    from 1 to 50, gamma from 0.1 to 30, ends left out, in this order, the first of the best. Ranges for psi come from
    the held-out images against the others, or, where there are none, from the images among one another.

    Attributes
    ----------
    temperature : float
        Of p.
    alpha, beta, gamma : float or None
        None chooses.
    """

    temperature: Annotated[float, Gt(0)] = 0.5
    alpha: Annotated[float, Ge(0)] | None = None
    beta: Annotated[float, Gt(0)] | None = None
    gamma: Annotated[float, Ge(0)] | None = None
    held_out: Annotated[int, Ge(1)] = 4
    alpha_steps: Annotated[int, Ge(1)] = 10
    beta_steps: Annotated[int, Ge(1)] = 20
    gamma_steps: Annotated[int, Ge(1)] = 10

    def build(self, task: Task, *, rng: Stream) -> Keys:
        """Return the images with the settings."""
        items, texts = task.labelled, prompt_matrix(task)
        assert texts is not None
        x, columns = normalise(items.x), task.columns(items.labels)
        whole = self._keys(x, columns, texts)
        held = held_images(task, items, limit=self.held_out)
        if held is None:
            rows = digest_order(items.ids)[:_REFERENCE].to(x.device)
            return replace(whole, ranges=_ranges(*self._pairs(whole, x[rows]), own=rows))
        part = self._keys(x[held.rest], columns[held.rest], texts)
        distances, cosines = self._pairs(part, held.x)
        part = replace(part, ranges=_ranges(distances, cosines))
        chosen = self._choose(part, held.x, held.columns, distances, cosines)
        return replace(whole, ranges=part.ranges, chosen=chosen)

    def _keys(self, x: Tensor, columns: Tensor, texts: Tensor) -> Keys:
        counts = class_counts(columns, len(texts)).float()
        shares = (counts.sum() / (counts > 0).sum().clamp(min=1) / counts.clamp(min=1))[columns]
        log_p = (x @ texts.T / self.temperature).log_softmax(1)
        alpha, gamma = (0.1 if given is None else given for given in (self.alpha, self.gamma))
        none = x.new_tensor([0.0, 1.0, 0.0, 1.0])
        return Keys(x, columns, shares, log_p, texts, none, CacheWeights(alpha, self.beta or 1.0, gamma))

    def _pairs(self, state: Keys, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distances and the cosines of images [q, d] to the items, [q, n] each."""
        log_p = (x @ state.texts.T / self.temperature).log_softmax(1)
        p = log_p.exp()
        return (p * log_p).sum(1, keepdim=True) - p @ state.log_p.T, x @ state.keys.T

    def _choose(self, state: Keys, x: Tensor, target: Tensor, distances: Tensor, cosines: Tensor) -> CacheWeights:
        alphas = [self.alpha] if self.alpha is not None else steps(0.1, 50, self.alpha_steps)
        betas = [self.beta] if self.beta is not None else steps(1, 50, self.beta_steps)
        gammas = [self.gamma] if self.gamma is not None else steps(0.1, 30, self.gamma_steps)
        zero_shot, against = LOGIT_SCALE * x @ state.texts.T, _summed(_scaled(distances, state.ranges), state)
        near = [_summed(_affinity(cosines, beta), state) for beta in betas]
        settings = list(product(alphas, range(len(betas)), gammas))
        with_near, scores, weighed = (torch.empty_like(zero_shot) for _ in range(3))

        def hits() -> Iterator[Tensor]:
            for alpha, b, gamma in settings:
                if gamma == gammas[0]:
                    torch.add(zero_shot, torch.mul(near[b], alpha, out=weighed), out=with_near)
                torch.sub(with_near, torch.mul(against, gamma, out=weighed), out=scores)
                yield (scores.argmax(1) == target).sum()

        alpha, b, gamma = settings[first_best(hits(), len(settings))]
        return CacheWeights(alpha, betas[b], gamma, len(x), len(settings))

    def score(self, state: Keys, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        chosen = state.chosen

        def logits(x: Tensor) -> Tensor:
            distances, cosines = self._pairs(state, x)
            near = _summed(_affinity(cosines, chosen.beta), state)
            against = _summed(_scaled(distances, state.ranges), state)
            return LOGIT_SCALE * x @ state.texts.T + chosen.alpha * near - chosen.gamma * against

        return in_blocks(normalise(queries), len(state.keys), logits)

    def describe(self, state: Keys) -> dict[str, Any]:
        """Return the settings, and on how many images they were chosen among how many."""
        return state.chosen.told(wanted=None in (self.alpha, self.beta, self.gamma))


def _affinity(cosines: Tensor, beta: float) -> Tensor:
    return (beta * (cosines - 1)).exp()


def _scaled(distances: Tensor, ranges: Tensor) -> Tensor:
    """Return distances as cosines range."""
    low, high, least, most = ranges.unbind()
    return (distances - low) / (high - low).clamp(min=1e-12) * (most - least) + least


def _summed(values: Tensor, state: Keys) -> Tensor:
    """Return values [q, n] summed by class, [q, c]."""
    return sums_by_class(values * state.shares, state.columns, len(state.texts))


def _ranges(distances: Tensor, cosines: Tensor, *, own: Tensor | None = None) -> Tensor:
    """Return smallest and largest of both [4], but for the item that each row is itself, if it is one."""
    if own is not None and distances.shape[1] > 1:
        other = torch.arange(distances.shape[1], device=own.device) != own.unsqueeze(1)
        low = [torch.where(other, part, torch.inf).amin() for part in (distances, cosines)]
        high = [torch.where(other, part, -torch.inf).amax() for part in (distances, cosines)]
    else:
        low, high = [distances.amin(), cosines.amin()], [distances.amax(), cosines.amax()]
    return torch.stack([low[0], high[0], low[1], high[1]])
