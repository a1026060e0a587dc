"""Bytes of a state by what they are spent on, as its fields declare it.

A state is a dataclass whose fields say what their tensors are::

    projection: Tensor = field(metadata=WEIGHTS)
    counts: Tensor = field(metadata=STATISTICS)

A value whose tensors are all of one kind says so in its class, by ``stored_as``: :class:`bench.core.memory.Items` are
memory and :class:`bench.core.features.Features` exemplars wherever they are kept, unless the field that holds them is
declared as something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from bench.core.state_parts import KEY, Kind, leaves

WEIGHTS: Mapping[str, Kind] = MappingProxyType({KEY: "weights"})
"""Of a field: matrices that act on a feature, such as linear classifiers, attention blocks and projections."""
MEMORY: Mapping[str, Kind] = MappingProxyType({KEY: "memory"})
"""Of a field: items that answers are looked up in, and what is kept of each."""
EXEMPLARS: Mapping[str, Kind] = MappingProxyType({KEY: "exemplars"})
"""Of a field: labelled features that are kept to train on again."""
STATISTICS: Mapping[str, Kind] = MappingProxyType({KEY: "statistics"})
"""Of a field: what classes are summed up by, such as means, moments, counts, prototypes and class texts."""


@dataclass(frozen=True, kw_only=True)
class StateBytes:
    """Bytes of tensors by kind, each tensor counted once.

    Attributes
    ----------
    memory : int
        Items that answers are looked up in.
    exemplars : int
        Labelled features kept to train on again, in the state or carried on by the harness.
    statistics : int
        Class means, moments, prototypes, class texts.
    weights : int
        Matrices that act on a feature: linear classifiers, attention blocks, adapters, random projections.
    unknown : int
        What no declaration covers.
    """

    memory: int = 0
    exemplars: int = 0
    statistics: int = 0
    weights: int = 0
    unknown: int = 0

    @staticmethod
    def of(state: Any, carried: Any = None) -> StateBytes:
        """Return what the tensors of a state are declared as, and the exemplars that the harness carries on.

        A tensor that is in the state and carried on as well is the state's.
        """
        found: dict[str, int] = {}
        for size, kind in _sizes(state, carried):
            found[kind or "unknown"] = found.get(kind or "unknown", 0) + size
        return StateBytes(**found)

    def columns(self) -> dict[str, int]:
        """Return the columns of a record."""
        return {
            "memory_bytes": self.memory,
            "exemplar_bytes": self.exemplars,
            "statistics_bytes": self.statistics,
            "weights_bytes": self.weights,
            "state_unknown_bytes": self.unknown,
        }


def nbytes(value: Any) -> int:
    """Return how many bytes the tensors of a state occupy; a tensor that appears twice counts once."""
    return sum(asdict(StateBytes.of(value)).values())


def _sizes(state: Any, carried: Any) -> Iterator[tuple[int, Kind | None]]:
    """Yield the size of each tensor and its kind, that of the first place it is met at."""
    seen: dict[int, tuple[int, Kind | None]] = {}
    for part in (*leaves(state), *leaves(carried, kind="exemplars")):
        tensor = part.tensor
        if tensor is not None:
            place = tensor.data_ptr() if tensor.numel() else id(part.value)
            size, kind = seen.get(place, (0, part.kind))
            seen[place] = (max(size, tensor.numel() * tensor.element_size()), kind)
    yield from seen.values()
