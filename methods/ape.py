"""APE: a cache of labelled images on the channels that tell classes apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.blocks import query_blocks, summed_by_class
from bench.functional.cache_votes import cached_votes
from bench.functional.classwise import class_counts, class_sums, normalise, unit_rows
from bench.functional.stored_rows import ManyRows, blocks_of, only
from bench.learning.choosing import CacheWeights, canonical, first_best_of_all, held_images, steps
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.utils.random import Stream


@dataclass(frozen=True)
class Published:
    """What the official code sets for one data set: ends of the search, start of alpha, channels of 1024, w0 and w1.

    beta starts at 1 and gamma at 0.1 everywhere.
    """

    beta_end: float
    alpha_end: float
    gamma_end: float
    alpha: float
    channels: int
    weights: tuple[float, float]


_SETTINGS = {
    "caltech101": Published(7, 7, 1, 1, 800, (0.5, 0.5)),
    "dtd": Published(7, 7, 1, 3, 400, (0.5, 0.5)),
    "eurosat": Published(30, 5, 1.5, 1, 700, (0.9, 0.1)),
    "fgvc_aircraft": Published(20, 10, 1, 5, 800, (0.1, 0.9)),
    "food101": Published(7, 7, 1, 0.8, 700, (0.3, 0.7)),
    "imagenet": Published(7, 7, 0.5, 2, 500, (0.7, 0.3)),
    "flowers102": Published(7, 7, 1, 3, 700, (0.4, 0.6)),
    "oxford_pets": Published(7, 7, 1, 2, 800, (0.7, 0.3)),
    "stanford_cars": Published(10, 7, 1, 1, 500, (0.6, 0.4)),
    "sun397": Published(10, 7, 1, 1, 800, (0.7, 0.3)),
    "ucf101": Published(10, 7, 1.5, 2, 700, (0.3, 0.7)),
}
"""The files of yangyangyang127/APE's folder configs, at commit 70460de, for RN50 with 1024 channels."""

_ELSEWHERE = Published(10, 7, 1, 2, 700, (0.5, 0.5))


@dataclass(frozen=True, eq=False)
class Refined:
    """The cache on the channels that are kept.

    Attributes
    ----------
    channels : int64 Tensor [Q]
    keys : Tensor [n, Q]
        Unit norm on these channels.
    distances : Tensor [n]
        -log2 of the probability that plain text cosines on these channels give the own class.
    """

    texts: Tensor = field(metadata=STATISTICS)
    channels: Tensor = field(metadata=STATISTICS)
    keys: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)
    distances: Tensor = field(metadata=MEMORY)
    chosen: CacheWeights


@method(
    "ape",
    paper="Zhu et al., Not All Features Matter: Enhancing Few-shot CLIP with Adaptive Prior Refinement, ICCV 2023, "
    "arXiv:2304.01195",
    equation="logits = 100 x T' + alpha exp(-beta (1 - x K')) L exp(gamma D) on the kept channels; D = -log2 p_own",
    adapted="channels are chosen by the labelled images and class texts as they are, where the code averages ten "
    "views; the share of channels that are kept is the code's of 1024; the grid has its ranges and fewer steps (20 x "
    "10 x 5; ape-full has the code's 200 x 20 x 20); settings are chosen on held-out support unless the run gives a "
    "validation split, and never on test images, as the code does on ImageNet",
    needs=("images", "prompts"),
    selection="support-heldout",
    stores_items=True,
    variants={"ape-full": {"beta_steps": 200, "alpha_steps": 20, "gamma_steps": 20}},
)
@dataclass(frozen=True, kw_only=True)
class APE:
    """Keep the channels in which classes are apart, and weigh each image by how wrong zero-shot is on it.

    Channels with the largest -w0 (mean product over pairs of vectors of different classes, texts and images alike)
    + w1 (variance over class texts). The zero-shot term takes all channels. Order of the search as in the code: beta,
    alpha, gamma, the first of the best; without images to choose on the code's start is taken.

    Attributes
    ----------
    channels : float or None
        The share that is kept; None is the data set's own.
    alpha, beta, gamma : float or None
        None chooses.
    """

    channels: Annotated[float, Gt(0), Le(1)] | None = None
    alpha: Annotated[float, Ge(0)] | None = None
    beta: Annotated[float, Gt(0)] | None = None
    gamma: Annotated[float, Ge(0)] | None = None
    held_out: Annotated[int, Ge(1)] = 4
    beta_steps: Annotated[int, Ge(1)] = 20
    alpha_steps: Annotated[int, Ge(1)] = 10
    gamma_steps: Annotated[int, Ge(1)] = 5

    def build(self, task: Task, *, rng: Stream) -> Refined:
        """Return the cache with its settings."""
        items, texts = task.labelled, prompt_matrix(task)
        assert texts is not None
        found = _SETTINGS.get(canonical(task.dataset), _ELSEWHERE)
        x, columns = unit_rows(items.x), task.columns(items.labels)
        whole = self._refined(x, columns, texts, found)
        held = held_images(task, items, limit=self.held_out)
        if held is None:
            return whole
        part = self._refined(only(x, held.rest), columns[held.rest], texts, found)
        return replace(whole, chosen=self._choose(part, held.x, held.columns, found))

    def _refined(self, x: ManyRows, columns: Tensor, texts: Tensor, found: Published) -> Refined:
        share = self.channels or found.channels / 1024
        kept = max(1, round(share * texts.shape[1]))
        channels = _criterion(x, columns, texts, found.weights).topk(kept).indices
        own = normalise(texts[:, channels])
        keys, likely = texts.new_empty(len(x), kept), texts.new_empty(len(x))
        for here, rows in blocks_of(x, len(texts)):
            keys[here] = normalise(rows[:, channels])
            likely[here] = (keys[here] @ own.T).softmax(1).gather(1, columns[here].unsqueeze(1)).squeeze(1)
        # The code adds 1e-6 to both: log2((1 + 1e-6) / (p + 1e-6)) of the own class, and nothing of the others.
        distances = torch.log2((1 + 1e-6) / (likely + 1e-6))
        alpha = found.alpha if self.alpha is None else self.alpha
        start = CacheWeights(alpha, self.beta or 1.0, 0.1 if self.gamma is None else self.gamma)
        return Refined(texts, channels, keys, columns, distances, start)

    def _choose(self, state: Refined, x: Tensor, target: Tensor, found: Published) -> CacheWeights:
        betas = [self.beta] if self.beta is not None else steps(0.1, found.beta_end, self.beta_steps)
        alphas = [self.alpha] if self.alpha is not None else steps(0.1, found.alpha_end, self.alpha_steps)
        gammas = [self.gamma] if self.gamma is not None else steps(0.0, found.gamma_end, self.gamma_steps)
        settings = list(product(betas, alphas, gammas))

        def hits(x: Tensor, target: Tensor) -> Iterator[Tensor]:
            zero_shot, near = LOGIT_SCALE * x @ state.texts.T, state.keys @ normalise(x[:, state.channels]).T
            scores, affinity, weighed = torch.empty_like(zero_shot), torch.empty_like(near), torch.empty_like(near)
            for beta in betas:
                torch.sub(near, 1, out=affinity).mul_(beta).exp_()
                summed = [_summed(affinity, state, gamma, weighed) for gamma in gammas]
                for alpha, votes in product(alphas, summed):
                    torch.mul(votes, alpha, out=scores).add_(zero_shot)
                    yield (scores.argmax(1) == target).sum()

        blocks = query_blocks(x, len(state.keys))
        parts = (hits(some, own) for some, own in zip(blocks, target.split(len(blocks[0])), strict=True))
        beta, alpha, gamma = settings[first_best_of_all(parts, len(settings))]
        return CacheWeights(alpha, beta, gamma, len(x), len(settings))

    def score(self, state: Refined, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        chosen, x = state.chosen, normalise(queries)
        asked, weights = normalise(x[:, state.channels]), _weights(state, chosen.gamma)
        votes = cached_votes(state.keys, state.columns, len(state.texts), asked, chosen.beta, weights)
        return LOGIT_SCALE * x @ state.texts.T + chosen.alpha * votes

    def describe(self, state: Refined) -> dict[str, Any]:
        """Return the settings, the channels that are kept, and on how many images how many settings were compared."""
        return {
            **state.chosen.told(wanted=None in (self.alpha, self.beta, self.gamma)),
            "channels": len(state.channels),
        }


def _criterion(x: ManyRows, columns: Tensor, texts: Tensor, weights: tuple[float, float]) -> Tensor:
    """Return what channels are ranked by, [d].

    The sum over pairs of different classes is (sum of all)^2 - sum over classes of (sum of the class)^2, channel by
    channel; there are N^2 - sum n_c^2 such pairs.
    """
    sums = class_sums(x, columns, len(texts)) + texts
    counts = class_counts(columns, len(texts)).double() + 1
    pairs = counts.sum() ** 2 - (counts**2).sum()
    alike = (sums.sum(0) ** 2 - (sums**2).sum(0)) / pairs
    return -weights[0] * alike + weights[1] * texts.double().var(0)


def _weights(state: Refined, gamma: float) -> Tensor:
    """Return what the affinities of each image are multiplied by, [n]."""
    return (gamma * state.distances).exp()


def _summed(affinity: Tensor, state: Refined, gamma: float, space: Tensor) -> Tensor:
    """Return affinities [n, q], weighed in a space as large and summed by class, [q, c]."""
    torch.mul(affinity, _weights(state, gamma).unsqueeze(1), out=space)
    return summed_by_class(space, state.columns, len(state.texts))
