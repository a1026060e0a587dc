"""TIP-X: Tip-Adapter with the distance of zero-shot distributions beside the cosine of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.blocks import query_blocks, summed_by_class
from bench.functional.cache_votes import cached_votes
from bench.functional.classwise import class_counts, normalise
from bench.learning.choosing import CacheWeights, first_best_of_all, held_images, steps
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.holdout import digest_order
from bench.utils.random import Stream

_REFERENCE = 256
"""Items whose distances to all give the ranges where there is nothing to choose on."""
_BLOCK = 1 << 22
"""Numbers of a block of items that are likened to classes: 16 MiB."""
_PAIRS = 1 << 20
"""Distances, and cosines, that are held at a time: 4 MiB of each."""


@dataclass(frozen=True, eq=False)
class Keys:
    """The images, what classes of them are likened to, and how their distances are brought to the range of cosines.

    Attributes
    ----------
    keys : Tensor [n, d]
        Unit norm.
    columns : int64 Tensor [n]
    shares : Tensor [n]
        What each item counts: the mean size of a class over that of its own; 0 for one that takes no part.
    log_p : Tensor [c, c]
        Logarithms of softmax(cos / temperature) of items with the class texts, each times its share, summed by class.
    counted : Tensor [c]
        Sum of the shares of each class.
    ranges : Tensor [4]
        Smallest and largest distance, smallest and largest cosine, on images that are no queries.
    """

    keys: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)
    shares: Tensor = field(metadata=MEMORY)
    log_p: Tensor = field(metadata=STATISTICS)
    counted: Tensor = field(metadata=STATISTICS)
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
        every = torch.arange(len(x), device=x.device)
        whole = self._keys(x, columns, texts, every)
        held = held_images(task, items, limit=self.held_out)
        if held is None:
            own = digest_order(items.ids)[:_REFERENCE].to(x.device)
            return replace(whole, ranges=self._ranges(whole, x[own], every, own=own))
        # The same keys, of which those held out take no part: they are as large as the images.
        rest = every if bool(held.rest.all()) else held.rest.nonzero().squeeze(1)
        part = whole if rest is every else self._keys(x, columns, texts, rest)
        part = replace(part, ranges=self._ranges(part, held.x, rest))
        return replace(whole, ranges=part.ranges, chosen=self._choose(part, held.x, held.columns))

    def _keys(self, x: Tensor, columns: Tensor, texts: Tensor, rows: Tensor) -> Keys:
        """Return images [n, d] of which some rows take part."""
        c = len(texts)
        shares = x.new_zeros(len(x))
        shares[rows] = _shares(columns[rows], c)
        log_p, counted = x.new_zeros(c, c), x.new_zeros(c).index_add_(0, columns, shares)
        for some in rows.split(_step(x, texts)):
            log_p.index_add_(0, columns[some], self._log_p(x[some], texts).mul_(shares[some].unsqueeze(1)))
        alpha, gamma = (0.1 if given is None else given for given in (self.alpha, self.gamma))
        none = x.new_tensor([0.0, 1.0, 0.0, 1.0])
        chosen = CacheWeights(alpha, self.beta or 1.0, gamma)
        return Keys(x, columns, shares, log_p, counted, texts, none, chosen)

    def _log_p(self, x: Tensor, texts: Tensor) -> Tensor:
        return (x @ texts.T).div_(self.temperature).log_softmax(1)

    def _against(self, state: Keys, x: Tensor) -> Tensor:
        """Return the distances psi(D) of queries [q, d] to images, each times its share, summed by class, [q, c].

        D = sum p log p - sum p log p_s of a query's p, and psi is linear, so that the sums over a class are those of
        its logarithms.
        """
        log_p = self._log_p(x, state.texts)
        p = log_p.exp()
        low, high, least, most = state.ranges.unbind()
        summed = (p * log_p).sum(1, keepdim=True).sub_(low) * state.counted - p @ state.log_p.T
        return summed.div_((high - low).clamp(min=1e-12)).mul_(most - least).add_(least * state.counted)

    def _ranges(self, state: Keys, x: Tensor, rows: Tensor, *, own: Tensor | None = None) -> Tensor:
        """Return the smallest and the largest distance and cosine of images [q, d] to some rows, [4].

        Where the images are rows themselves, ``own`` [q] of all, none is compared with itself, if there are others.
        """
        log_p = self._log_p(x, state.texts)
        p = log_p.exp()
        entropy, step = (p * log_p).sum(1), _step(x, state.texts)
        low, high = x.new_full((2,), torch.inf), x.new_full((2,), -torch.inf)
        spaces = x.new_empty(2, max(_PAIRS, step))
        for start, some in zip(range(0, len(rows), step), rows.split(step), strict=True):
            keys = state.keys[some]
            likened = self._log_p(keys, state.texts)
            for here in torch.arange(len(x), device=x.device).split(max(1, _PAIRS // len(keys))):
                # In the same place each time: small results between large ones would keep what those took.
                distances, cosines = (space[: len(keys) * len(here)].view(len(keys), len(here)) for space in spaces)
                torch.sub(entropy[here], torch.mm(likened, p[here].T, out=distances), out=distances)
                torch.mm(keys, x[here].T, out=cosines)
                left = None
                if own is not None and len(rows) > 1:
                    left = own[here] == torch.arange(start, start + len(keys), device=x.device).unsqueeze(1)
                for kind, part in enumerate((distances, cosines)):
                    least, most = (
                        part if left is None else part.masked_fill(left, end) for end in (torch.inf, -torch.inf)
                    )
                    low[kind].clamp_(max=least.amin())
                    high[kind].clamp_(min=most.amax())
        return torch.stack([low, high], 1).flatten()

    def _choose(self, state: Keys, x: Tensor, target: Tensor) -> CacheWeights:
        """Return the first best settings on images [q, d]."""
        alphas = [self.alpha] if self.alpha is not None else steps(0.1, 50, self.alpha_steps)
        betas = [self.beta] if self.beta is not None else steps(1, 50, self.beta_steps)
        gammas = [self.gamma] if self.gamma is not None else steps(0.1, 30, self.gamma_steps)
        settings = list(product(alphas, range(len(betas)), gammas))

        def hits(x: Tensor, target: Tensor) -> Iterator[Tensor]:
            zero_shot, against = LOGIT_SCALE * x @ state.texts.T, self._against(state, x)
            near = self._near(state, x, betas)
            with_near, scores, weighed = (torch.empty_like(zero_shot) for _ in range(3))
            for alpha, b, gamma in settings:
                if gamma == gammas[0]:
                    torch.add(zero_shot, torch.mul(near[b], alpha, out=weighed), out=with_near)
                torch.sub(with_near, torch.mul(against, gamma, out=weighed), out=scores)
                yield (scores.argmax(1) == target).sum()

        blocks = query_blocks(x, len(state.keys))
        parts = (hits(some, own) for some, own in zip(blocks, target.split(len(blocks[0])), strict=True))
        alpha, b, gamma = settings[first_best_of_all(parts, len(settings))]
        return CacheWeights(alpha, betas[b], gamma, len(target), len(settings))

    def _near(self, state: Keys, x: Tensor, betas: Sequence[float]) -> list[Tensor]:
        """Return affinities of images [q, d], each times its share, summed by class, [q, c] for each beta."""
        cosines, shares = state.keys @ x.T, state.shares.unsqueeze(1)
        affinity, found = torch.empty_like(cosines), []
        for beta in betas:
            torch.sub(cosines, 1, out=affinity).mul_(beta).exp_().mul_(shares)
            found.append(summed_by_class(affinity, state.columns, len(state.texts)).contiguous())
        return found

    def score(self, state: Keys, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        chosen, x = state.chosen, normalise(queries)
        near = cached_votes(state.keys, state.columns, len(state.texts), x, chosen.beta, state.shares)
        return LOGIT_SCALE * x @ state.texts.T + chosen.alpha * near - chosen.gamma * self._against(state, x)

    def describe(self, state: Keys) -> dict[str, Any]:
        """Return the settings, and on how many images they were chosen among how many."""
        return state.chosen.told(wanted=None in (self.alpha, self.beta, self.gamma))


def _shares(columns: Tensor, n_classes: int) -> Tensor:
    counts = class_counts(columns, n_classes).float()
    return (counts.sum() / (counts > 0).sum().clamp(min=1) / counts.clamp(min=1))[columns]


def _step(x: Tensor, texts: Tensor) -> int:
    """Return how many images are likened to classes at a time."""
    return max(1, _BLOCK // max(x.shape[1], len(texts)))
