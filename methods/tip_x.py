"""TIP-X: Tip-Adapter with the distance of zero-shot distributions beside the cosine of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.blocks import in_blocks, query_blocks, summed_by_class
from bench.functional.classwise import class_counts, normalise
from bench.functional.stored_rows import blocks_of
from bench.learning.choosing import CacheWeights, first_best_of_all, held_images, steps
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.holdout import digest_order
from bench.utils.random import Stream
from bench.utils.room import require_room

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
            ranges = (self._ranges(whole, x[some], own=some) for some in query_blocks(rows, len(x)))
            return replace(whole, ranges=_joined(ranges))
        # The same keys, of which those held out take no part: they are as large as the images.
        rest = None if bool(held.rest.all()) else held.rest.nonzero().squeeze(1)
        part = whole if rest is None else replace(whole, shares=_shares(columns[rest], len(texts)))
        blocks = query_blocks(held.x, len(x))
        part = replace(part, ranges=_joined(self._ranges(part, some, rest) for some in blocks))
        chosen = self._choose(part, rest, blocks, held.columns)
        return replace(whole, ranges=part.ranges, chosen=chosen)

    def _keys(self, x: Tensor, columns: Tensor, texts: Tensor) -> Keys:
        require_room(
            4 * len(x) * len(texts),
            what=f"how {len(x):,} images are likened to {len(texts):,} classes",
            instead="give tip-x fewer images, or take tip-adapter",
            device=x.device,
        )
        log_p = x.new_empty(len(x), len(texts))
        for here, rows in blocks_of(x, len(texts)):
            log_p[here] = self._log_p(rows, texts)
        alpha, gamma = (0.1 if given is None else given for given in (self.alpha, self.gamma))
        none = x.new_tensor([0.0, 1.0, 0.0, 1.0])
        chosen = CacheWeights(alpha, self.beta or 1.0, gamma)
        return Keys(x, columns, _shares(columns, len(texts)), log_p, texts, none, chosen)

    def _log_p(self, x: Tensor, texts: Tensor) -> Tensor:
        return (x @ texts.T / self.temperature).log_softmax(1)

    def _pairs(self, state: Keys, x: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the distances and the cosines of some items (all unless given) to images [q, d], [n, q] each."""
        log_p = self._log_p(x, state.texts)
        p = log_p.exp()
        distances = ((p * log_p).sum(1) - state.log_p @ p.T, state.keys @ x.T)
        return distances if rows is None else (distances[0][rows], distances[1][rows])

    def _ranges(
        self, state: Keys, x: Tensor, rows: Tensor | None = None, *, own: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the smallest and the largest distance and cosine, [2] each, but for the item that an image is."""
        pairs = self._pairs(state, x, rows)
        if own is not None and len(state.keys) > 1:
            at = torch.arange(len(own), device=own.device)
            low = [part.index_put((own, at), part.new_tensor(torch.inf)).amin() for part in pairs]
            high = [part.index_put((own, at), part.new_tensor(-torch.inf)).amax() for part in pairs]
        else:
            low, high = [part.amin() for part in pairs], [part.amax() for part in pairs]
        return torch.stack(low), torch.stack(high)

    def _choose(self, state: Keys, rows: Tensor | None, blocks: Sequence[Tensor], target: Tensor) -> CacheWeights:
        """Return the first best settings on blocks of images [b, d] for some of the items."""
        alphas = [self.alpha] if self.alpha is not None else steps(0.1, 50, self.alpha_steps)
        betas = [self.beta] if self.beta is not None else steps(1, 50, self.beta_steps)
        gammas = [self.gamma] if self.gamma is not None else steps(0.1, 30, self.gamma_steps)
        settings = list(product(alphas, range(len(betas)), gammas))
        columns = state.columns if rows is None else state.columns[rows]

        def summed(values: Tensor) -> Tensor:
            return summed_by_class(values.mul_(state.shares.unsqueeze(1)), columns, len(state.texts)).contiguous()

        def hits(x: Tensor, target: Tensor) -> Iterator[Tensor]:
            distances, cosines = self._pairs(state, x, rows)
            zero_shot, against = LOGIT_SCALE * x @ state.texts.T, summed(_scaled(distances, state.ranges))
            near = [summed(_affinity(cosines, beta)) for beta in betas]
            with_near, scores, weighed = (torch.empty_like(zero_shot) for _ in range(3))
            for alpha, b, gamma in settings:
                if gamma == gammas[0]:
                    torch.add(zero_shot, torch.mul(near[b], alpha, out=weighed), out=with_near)
                torch.sub(with_near, torch.mul(against, gamma, out=weighed), out=scores)
                yield (scores.argmax(1) == target).sum()

        parts = (hits(some, own) for some, own in zip(blocks, target.split(len(blocks[0])), strict=True))
        alpha, b, gamma = settings[first_best_of_all(parts, len(settings))]
        return CacheWeights(alpha, betas[b], gamma, len(target), len(settings))

    def score(self, state: Keys, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        chosen, shares = state.chosen, state.shares.unsqueeze(1)

        def summed(values: Tensor) -> Tensor:
            return summed_by_class(values.mul_(shares), state.columns, len(state.texts))

        def logits(x: Tensor) -> Tensor:
            distances, cosines = self._pairs(state, x)
            near, against = summed(_affinity(cosines, chosen.beta)), summed(_scaled(distances, state.ranges))
            return LOGIT_SCALE * x @ state.texts.T + chosen.alpha * near - chosen.gamma * against

        return in_blocks(normalise(queries), len(state.keys), logits)

    def describe(self, state: Keys) -> dict[str, Any]:
        """Return the settings, and on how many images they were chosen among how many."""
        return state.chosen.told(wanted=None in (self.alpha, self.beta, self.gamma))


def _shares(columns: Tensor, n_classes: int) -> Tensor:
    counts = class_counts(columns, n_classes).float()
    return (counts.sum() / (counts > 0).sum().clamp(min=1) / counts.clamp(min=1))[columns]


def _affinity(cosines: Tensor, beta: float) -> Tensor:
    return (cosines - 1).mul_(beta).exp_()


def _scaled(distances: Tensor, ranges: Tensor) -> Tensor:
    """Return distances as cosines range."""
    low, high, least, most = ranges.unbind()
    return (distances - low).div_((high - low).clamp(min=1e-12)).mul_(most - least).add_(least)


def _joined(parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return smallest and largest distance, then cosine, of all parts, [4]."""
    low, high = (torch.stack(each) for each in zip(*parts, strict=True))
    return torch.stack([low.amin(0), high.amax(0)], 1).flatten()
