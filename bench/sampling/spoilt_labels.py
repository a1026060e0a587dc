"""A support with a share of its labels wrong, and the list of what was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.sampling import noise
from bench.utils.errors import BenchError, suggest
from bench.utils.random import Stream

_OWNER = "label-noise"


@dataclass(frozen=True, kw_only=True)
class LabelSpoiler:
    """Which labels become which; a base of recipes.

    Attributes
    ----------
    kind : str
        ``symmetric``: to any other class. ``uniform``: to any class, its own among them; rate 1 leaves chance.
        ``asymmetric``: to the most confusable class. ``pair-flip``: to the next class. ``transition``: by
        ``transition``. ``recorded``: by ``recorded``.
    confusable : mapping of str to str
        For ``asymmetric``, the class each class is mistaken for, by name; one that is not given is the class whose
        mean over the clean support is nearest.
    transition : tuple of tuples
        For ``transition``, one row of shares for each class that takes part, in the order of class ids.
    recorded : mapping of str to str
        For ``recorded``, class names by support id; a rate is the share of the wrong ones among them that is used.
    """

    kind: Literal["symmetric", "uniform", "asymmetric", "pair-flip", "transition", "recorded"] = "symmetric"
    confusable: Mapping[str, str] = field(default_factory=dict)
    transition: tuple[tuple[float, ...], ...] | None = None
    recorded: Mapping[str, str] = field(default_factory=dict)

    def check(self, dataset: Dataset, ids: Sequence[int]) -> None:
        """Refuse what is known to be wrong before anything is run: strange names, a matrix that does not fit."""
        for name in (*self.confusable, *self.confusable.values(), *self.recorded.values()):
            _column(dataset, ids, name)
        noise.check_recorded(self.recorded, dataset.role("support").ids)
        if self.kind == "transition":
            noise.transition("transition", len(ids), matrix=self.transition)
        if self.kind == "recorded" and not self.recorded:
            raise BenchError(f"{_OWNER}.kind=recorded but no label is; give {_OWNER}.recorded, class names by id")

    def spoil(
        self, dataset: Dataset, ids: Sequence[int], clean: Features, rate: float, rng: Stream
    ) -> tuple[Features, dict[str, Any]]:
        """Return the images with wrong labels and the notes: of each changed image its id and both class names.

        Parameters
        ----------
        ids : sequence of int
            The classes among which labels move, ascending.
        """
        order = torch.tensor(ids)
        result = self._relabelled(dataset, ids, clean, torch.searchsorted(order, clean.labels), rate, rng)
        noisy = replace(clean, labels=order[result.labels])
        changed = result.rows[noisy.labels[result.rows] != clean.labels[result.rows]].tolist()
        names = dataset.class_names
        notes = {
            "labels_drawn": len(result.rows),
            "labels_changed": len(changed),
            "changed": [[str(clean.ids[r]), names[int(clean.labels[r])], names[int(noisy.labels[r])]] for r in changed],
        }
        return noisy, notes

    def _relabelled(
        self, dataset: Dataset, ids: Sequence[int], clean: Features, columns: Tensor, rate: float, rng: Stream
    ) -> noise.Relabelled:
        if self.kind != "recorded":
            return noise.relabel(columns, clean.ids, rate, self._matrix(dataset, ids, clean.x, columns), rng=rng)
        # A support image that was not dealt (other shots, the clean half) is no stranger.
        unused = set(dataset.role("support").ids.tolist()) - set(clean.ids.tolist())
        given = {name: _column(dataset, ids, label) for name, label in self.recorded.items() if name not in unused}
        return noise.recorded(columns, clean.ids, given, rate, rng=rng)

    def _matrix(self, dataset: Dataset, ids: Sequence[int], x: Tensor, columns: Tensor) -> np.ndarray:
        assert self.kind != "recorded"
        partners = None
        if self.kind == "asymmetric":
            partners = noise.confusable(x, columns, len(ids))
            for name, other in self.confusable.items():
                partners[_column(dataset, ids, name)] = _column(dataset, ids, other)
        return noise.transition(self.kind, len(ids), partners=partners, matrix=self.transition)


def _column(dataset: Dataset, ids: Sequence[int], name: str) -> int:
    """Return the position of a class among those that take part; an error for a strange name."""
    names = [dataset.class_names[c] for c in ids]
    if name not in names:
        raise BenchError(f"{_OWNER}: {name!r} is no class of data set {dataset.name}{suggest(name, names)}")
    return names.index(name)
