"""Answering: features to answers, with the neighbours that decided."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.classifier.answers import NONE, SHOWN, Answer, Evidence
from bench.classifier.model import Model
from bench.core.explanation import Explanation
from bench.core.protocols import Explains
from bench.utils.errors import BenchError


def decided(model: Model, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best column of each row as the harness chooses it, its probability, and all probabilities."""
    p = model.probabilities(scores)
    best = scores.argmax(1)
    return best, p.gather(1, best[:, None])[:, 0], p


def answers(model: Model, x: Tensor, *, neighbours: int = SHOWN, reject: float = 0.0) -> list[Answer]:
    """Return an answer for each row of features [n, d].

    Parameters
    ----------
    neighbours : int
        Of each answer, at most; 0 saves the time of looking.
    reject : float
        The confidence below which the answer is :data:`bench.classifier.answers.NONE`.
    """
    best, probability, p = decided(model, model.scores(x))
    order = p.sort(dim=1, descending=True, stable=True).indices[:, :SHOWN].tolist()
    found = []
    for row, (column, likely) in enumerate(zip(best.tolist(), probability.tolist(), strict=True)):
        name = model.names[column]
        columns = [column, *(other for other in order[row] if other != column)][:SHOWN]
        near, words = _evidence(model, x[row], neighbours) if neighbours else ((), "")
        found.append(
            Answer(
                label=name if likely >= reject else NONE,
                best=name,
                probability=likely,
                classes=tuple((model.names[c], float(p[row, c])) for c in columns),
                neighbours=near,
                weights=words,
            )
        )
    return found


def explained(model: Model, x: Tensor) -> list[Explanation]:
    """Return what the answer to each row of features rests on.

    Raises
    ------
    BenchError
        If the method cannot say.
    """
    method = model.method
    if not isinstance(method, Explains):
        raise BenchError(f"{model.label} cannot say what its answers rest on; choose a method that can, such as knn")
    with torch.no_grad():
        return [method.explain(model.state, model.task, query) for query in x]


def _evidence(model: Model, query: Tensor, most: int) -> tuple[tuple[Evidence, ...], str]:
    if not isinstance(model.method, Explains):
        return (), ""
    told = explained(model, query[None])[0]
    place = {label: column for column, label in enumerate(model.task.classes)}
    near = sorted(told.neighbours, key=lambda one: (-one.weight, -one.similarity))[:most]
    return tuple(
        Evidence(
            item=one.item,
            label=model.names[place[one.label]],
            similarity=one.similarity,
            weight=one.weight,
            memory=one.branch,
        )
        for one in near
    ), told.weights
