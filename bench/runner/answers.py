"""Answers from scores: predictions, ranks of the right class, confidences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.core.protocols import Method
from bench.core.task import Task
from bench.cost.meter import phase, uncounted
from bench.functional.conformal import ConformalSets
from bench.runner.handover import Blocks, Handed
from bench.runner.scoring import Scorer
from bench.utils.errors import BenchError
from bench.utils.random import Stream

_NO_LOTS = Stream(0)


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to the queries of a session, in the order in which they were dealt.

    Attributes
    ----------
    columns : int64 Tensor [q]
        Score column of each prediction.
    ranks : int64 Tensor [q]
        How many classes score above the right one.
    confidences : float32 Tensor [q]
        Softmax probability of the prediction, of the scores over ``temperature``.
    scores : Tensor [q, c] or None
        On the CPU, where they are kept.
    set_sizes : int64 Tensor [q] or None
        How many of the likeliest classes are in each query's set, where there is a rule that makes sets.
    """

    columns: Tensor
    ranks: Tensor
    confidences: Tensor
    scores: Tensor | None = None
    set_sizes: Tensor | None = None

    def first(self, n: int) -> Answers:
        """Return the answers to the first n, without their scores."""
        sizes = None if self.set_sizes is None else self.set_sizes[:n]
        return Answers(self.columns[:n], self.ranks[:n], self.confidences[:n], set_sizes=sizes)


def answer(
    method: Method,
    state: Any,
    task: Task,
    blocks: Blocks,
    handed: Handed,
    label: str,
    temperature: float = 1.0,
    *,
    sets: ConformalSets | None = None,
    lots: Stream = _NO_LOTS,
    keep_scores: bool = False,
) -> Answers:
    """Return what a method answers to the queries of a session; its scoring is charged to the phase ``score``.

    Parameters
    ----------
    sets : ConformalSets, optional
        Makes a set of classes for each query, and draws ``lots`` for that.
    """
    scored, start, known = [], 0, torch.tensor(task.classes)
    kept: list[Tensor] = []
    drawn = sets.lots(len(blocks.labels), lots).split([len(part) for part in blocks.parts]) if sets else ()
    sizes: list[Tensor] = []
    scorer = Scorer(method, state, label)
    for block in scorer.parts(blocks.parts):
        with handed.block(block) as part, torch.no_grad():
            with phase("score"):
                scores = scorer(part)
            # What the harness makes of the scores is no cost of the method.
            with uncounted():
                check_scores(label, scores, len(part), task)
                labels = blocks.labels[start : start + len(part)].to(scores.device)
                # Of a stranger there is no right column; nobody reads its rank.
                labels = torch.where(torch.isin(labels, known.to(labels.device)), labels, task.classes[0])
                columns, ranks, confidences, shares = _answer(scores, task.columns(labels), temperature)
                scored.append((columns, ranks, confidences))
                if sets is not None:
                    likely = shares * confidences.to(shares).unsqueeze(1)
                    sizes.append(sets.sizes(likely, drawn[len(sizes)]).cpu())
                if keep_scores:
                    kept.append(scores.cpu())
        start += len(block)
    with uncounted():
        whole = blocks.dealt(torch.cat(kept)) if kept else None
        columns, ranks, confidences = (blocks.dealt(torch.cat(column)) for column in zip(*scored, strict=True))
        return Answers(columns, ranks, confidences, whole, blocks.dealt(torch.cat(sizes)) if sizes else None)


def check_scores(label: str, scores: Any, n_queries: int, task: Task) -> None:
    """Raise :class:`BenchError` for scores of a wrong shape or that are not numbers."""
    expected = (n_queries, task.n_classes)
    if not isinstance(scores, Tensor) or not scores.dtype.is_floating_point:
        kind = f"a tensor of {scores.dtype}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        raise BenchError(
            f"method {label} returned {kind} as scores; return a floating-point tensor of shape {expected}"
        )
    if tuple(scores.shape) != expected:
        raise BenchError(
            f"method {label} returned scores of shape {tuple(scores.shape)} instead of {expected}; "
            "column j must be task.classes[j]"
        )
    if bool(torch.isnan(scores.amax(1)).any()):
        # The largest of a row with a NaN is NaN.
        raise BenchError(f"method {label} returned NaN scores; its training diverged or a class mean is zero")


def _answer(scores: Tensor, own: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what is known of one block of queries.

    Predicted columns, ranks of the right class and confidences, on the CPU; and, where the scores are, the probability
    of each class over that of the prediction [q, c].
    """
    own = own.unsqueeze(1)
    right = scores.gather(1, own)
    top, columns = scores.max(1)
    # One table for all that is compared and added up: to ask the system for each takes longer than to fill it. Ones in
    # float32 add up exactly, and faster than truths do as int64 numbers.
    table = torch.empty(scores.shape, dtype=torch.promote_types(scores.dtype, torch.float32), device=scores.device)
    ranks = torch.gt(scores, right, out=table).sum(1).long()
    tied = (torch.ge(scores, right, out=table).sum(1) > ranks + 1).nonzero().squeeze(1)
    if len(tied):
        # Columns before the right one win a tie, as in the prediction, so that rank 0 is a right answer and no other.
        order = torch.arange(scores.shape[1], device=scores.device)
        ranks[tied] += ((scores[tied] == right[tied]) & (order < own[tied])).sum(1)
    # In the precision of the scores: rounded to float32, scores of thousands would give probabilities above 1.
    gaps = torch.sub(scores.to(table.dtype), top.unsqueeze(1), out=table).div_(temperature)
    shares = gaps.exp_()
    confidences = shares.sum(1).reciprocal().float()
    # Where no class has an item to be scored by, all scores are minus infinity and all classes are as likely.
    confidences[torch.isneginf(top)] = 1 / scores.shape[1]
    return columns.cpu(), ranks.cpu(), confidences.cpu(), shares
