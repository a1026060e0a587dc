"""Queries of unknown classes: how well they are told from known ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.measure import Answered, Measured
from bench.functional.detection import aupr, aurc, auroc, fpr_at_recall, oscr
from bench.sampling.measures.intervals import Rows, resampled
from bench.utils.random import Stream

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OpenSet:
    """AUROC, FPR at 95 % recall, AUPR, OSCR and AURC; what is known is the positive class.

    The first five are of the softmax probability of the answer at the fitted temperature (MCM: Ming et al., NeurIPS
    2022, arXiv:2211.13445). AUROC is also told of the largest score, of the energy (Liu et al., NeurIPS 2020,
    arXiv:2010.03759), and, whatever the method, of the cosine to the k-th nearest labelled image (Sun et al., ICML
    2022, arXiv:2204.06507) and of the Mahalanobis distance to the nearest class mean (Lee et al., NeurIPS 2018,
    arXiv:1807.03888).

    Attributes
    ----------
    near : bool array [s]
        Which strangers are of classes near the known ones; others are far.
    features : mapping of str to float array [q + s]
        Scores of the queries and strangers that no method takes part in.
    """

    near: NDArray[np.bool_]
    features: Mapping[str, Floats]

    def __call__(self, answered: Answered, *, rng: Stream) -> Measured:
        """Return the measures with their intervals."""
        n, scores = answered.n_queries, torch.nan_to_num(answered.scores.double(), neginf=-1e30)
        sure, right = answered.confidences.numpy(), answered.right.numpy()
        energy = torch.logsumexp(scores / answered.temperature, 1).numpy()
        others = {"max_score": scores.amax(1).numpy(), "energy": energy, **self.features}

        def measure(queries: Rows, strangers: Rows) -> dict[str, float]:
            known, unknown, hits = sure[queries], sure[n + strangers], right[queries]
            near = self.near[strangers]
            found = {
                "auroc": auroc(known, unknown),
                "auroc_near": auroc(known, unknown[near]),
                "auroc_far": auroc(known, unknown[~near]),
                "fpr95": fpr_at_recall(known, unknown),
                "aupr": aupr(known, unknown),
                "oscr": oscr(known, hits, unknown),
                "aurc": aurc(known, hits),
            }
            return found | {f"auroc_{k}": auroc(v[queries], v[n + strangers]) for k, v in others.items()}

        return resampled(measure, n, len(sure) - n, rng)
