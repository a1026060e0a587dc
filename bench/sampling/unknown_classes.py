"""Classes that a task does not have: which they are, their queries, and how near they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.task import Session
from bench.functional.classwise import class_means, normalise
from bench.sampling.class_split import class_order
from bench.sampling.measures.open_set import OpenSet
from bench.sampling.sessions import assert_disjoint
from bench.utils.errors import BenchError
from bench.utils.random import Stream

_SHRINK = 1e-3
"""Of the mean variance, added to each dimension so that few images have an inverse covariance."""


def split_known(
    dataset: Dataset, ids: Sequence[int], share: float | Literal["declared"], rng: Stream
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the known classes and the unknown ones: drawn by name, or those that the data set declares as unseen.

    Raises
    ------
    BenchError
        If fewer than two classes would be known, or the data set declares no unseen class.
    """
    if share == "declared":
        unseen = set(dataset.class_split.get("unseen", ())) & set(ids)
        known = tuple(sorted(set(ids) - unseen))
        if not unseen or len(known) < 2:
            raise BenchError(
                f"data set {dataset.name} declares {len(unseen)} unseen and {len(known)} other classes, "
                "and one and two are needed; give open-set.unknown a share"
            )
        return known, tuple(sorted(unseen))
    count = max(1, round(share * len(ids)))
    if len(ids) - count < 2:
        raise BenchError(
            f"open-set.unknown={share} leaves {len(ids) - count} known classes of {len(ids)} and two are needed; "
            "lower it"
        )
    order = class_order(dataset.class_names, ids, rng.child("unknown"))
    return tuple(sorted(order[count:])), tuple(sorted(order[:count]))


@dataclass(frozen=True, eq=False)
class Unknown:
    """The queries of unknown classes, and what is measured of them."""

    queries: Features
    measure: OpenSet

    @staticmethod
    def of(dataset: Dataset, classes: Sequence[int], session: Session, *, k: int) -> Unknown:
        """Return what is asked of some classes beside a session.

        Raises
        ------
        BenchError
            If one of their queries has the vector of a query or an image of a known class.
        """
        queries = dataset.role("query").of_classes(list(classes))
        if not len(queries):
            raise BenchError(f"data set {dataset.name}: the unknown classes have no query; take other classes")
        task = session.task
        parts = {"queries of known classes": session.queries, "support": task.support}
        assert_disjoint(dataset.name, {"queries of unknown classes": queries, **parts})
        near = _near(dataset, classes, task.classes)
        flags = np.isin(queries.labels.cpu().numpy(), near)
        return Unknown(queries, OpenSet(flags, _by_features(session, queries, k)))


def _near(dataset: Dataset, unknown: Sequence[int], known: Sequence[int]) -> NDArray[np.int64]:
    """Return the half of the unknown classes whose mean image is nearest to the mean of a known class."""
    both = [*known, *unknown]
    images = dataset.role("support").of_classes(both)
    lookup = {label: column for column, label in enumerate(both)}
    columns = torch.tensor([lookup[label] for label in images.labels.tolist()], dtype=torch.int64)
    means = normalise(class_means(normalise(images.x.cpu()), columns, len(both)))
    nearest = (means[len(known) :] @ means[: len(known)].T).amax(1)
    order = torch.sort(nearest, descending=True, stable=True).indices.tolist()
    return np.array([unknown[i] for i in order[: (len(unknown) + 1) // 2]])


def _by_features(session: Session, strangers: Features, k: int) -> dict[str, NDArray[np.float64]]:
    """Return the scores of queries and strangers that no method takes part in; empty without labelled images."""
    items = session.task.labelled
    if not len(items):
        return {}
    x = normalise(torch.cat([session.queries.x.float(), strangers.x.float()]).cpu())
    keys, columns = normalise(items.x.cpu()), session.task.columns(items.labels).cpu()
    near = (x @ keys.T).topk(min(k, len(keys)), dim=1).values[:, -1]
    return {"knn": near.double().numpy(), "mahalanobis": _mahalanobis(x, keys, columns, session.task.n_classes)}


def _mahalanobis(x: Tensor, keys: Tensor, columns: Tensor, n_classes: int) -> NDArray[np.float64]:
    """Return minus the squared distance to the nearest class mean under the pooled covariance, [q]."""
    wide = keys.double()
    means = class_means(keys, columns, n_classes).double()
    gaps = wide - means[columns]
    covariance = gaps.T @ gaps / max(1, len(wide) - 1)
    covariance += (_SHRINK * covariance.diagonal().mean() + 1e-9) * torch.eye(len(covariance), dtype=wide.dtype)
    factor = torch.linalg.cholesky(torch.linalg.inv(covariance))
    here, there = x.double() @ factor, means[columns.unique()] @ factor
    found: NDArray[np.float64] = -(torch.cdist(here, there).amin(1) ** 2).numpy()
    return found
