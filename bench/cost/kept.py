"""What a process keeps of one cell for the next: tensors under a name of what they are, within a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from bench.device.copies import original_of, written

LIMIT = 256 << 20
"""Bytes that are kept at a time."""
_OF_FREE = 16
"""On a GPU no more is kept at a time than this part of what is free there."""

C = TypeVar("C")


@dataclass(frozen=True, eq=False)
class Entry(Generic[C]):
    """Tensors that are kept, and what it cost to make them."""

    tensors: tuple[Tensor, ...]
    cost: C


class Kept(Generic[C]):
    """Tensors of the cells of one group, which are kept as long as cells of that group run.

    What the cells of a group can share are the queries that they are asked, what they draw, and what follows from
    these alone. What does not fit within the bound is not kept, and nothing is thrown out for it: where cells take
    turns, what was used longest ago is what is wanted next.

    Parameters
    ----------
    limit : int
        Bytes that are kept at a time.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._group: Hashable = None
        self._keeps = False
        self._queries: dict[Hashable, list[Tensor]] = {}
        self._entries: dict[Hashable, Entry[C]] = {}
        self._names: dict[int, tuple[tuple[Hashable, int], int]] = {}
        """What stands for a tensor that is kept, and its version when it was, by the tensor's identity."""
        self._bytes: Counter[str] = Counter()
        """All that is kept, by kind of device."""
        self._met = _InUse()
        """The queries of the present episode."""
        self._asked = _InUse()
        """What the present cell has asked for."""

    def begin(self, group: Hashable, *, several: bool) -> None:
        """Begin with an episode of a group: what is there of another group is gone.

        Parameters
        ----------
        group : hashable
            The same for all cells that may be asked the same queries and draw the same.
        several : bool
            Whether more than one cell can use what is kept; else nothing is.
        """
        if group != self._group:
            self.clear()
        self._group, self._keeps = group, several
        self._met.clear()

    def clear(self) -> None:
        """Forget everything."""
        for part in (self._queries, self._entries, self._names, self._bytes, self._met, self._asked):
            part.clear()
        self._group, self._keeps = None, False

    @contextmanager
    def for_a_cell(self) -> Iterator[None]:
        """Let the block, which runs a cell, find what is kept and keep what it makes."""
        self._asked.clear()
        token = _kept.set(self)
        try:
            yield
        finally:
            _kept.reset(token)
            self._asked.clear()

    def same(self, queries: Tensor) -> Tensor:
        """Return the queries that an earlier episode of the group asked, where those given are bit for bit the same."""
        if not self._keeps or not queries.numel():
            return queries
        alike = self._queries.setdefault((*queries.shape, queries.device, tuple(queries[0].tolist())), [])
        for known in alike:
            if self.name(known) is not None and not written(known, queries):
                self._met.add(id(known), (known,))
                return known
        if self._room((queries,)):
            alike.append(queries)
            self._add(("queries", id(queries)), (queries,))
            self._met.add(id(queries), (queries,))
        return queries

    def name(self, tensor: Tensor) -> Hashable:
        """Return what stands for a tensor that is kept and that nobody wrote to; None for any other.

        An unchanged private copy of one stands for it.
        """
        tensor = original_of(tensor)
        name, version = self._names.get(id(tensor), (None, 0))
        return name if tensor._version == version else None

    def find(self, key: Hashable) -> Entry[C] | None:
        """Return what is kept under a key, which the cell then has in use; None if it is not there as it was made."""
        entry = self._entries.get(key)
        if entry is None or any(self.name(tensor) is None for tensor in entry.tensors):
            return None
        self._asked.add(key, entry.tensors)
        return entry

    def keep(self, key: Hashable, tensors: Sequence[Tensor], cost: C) -> None:
        """Keep tensors under a key, with their cost, if there is room; what was there under it is gone."""
        gone = self._entries.pop(key, None)
        if gone is not None:
            self._bytes -= _by_device(gone.tensors)
            self._asked.remove(key, gone.tensors)
            for tensor in gone.tensors:
                del self._names[id(tensor)]
        known = any(id(tensor) in self._names for tensor in tensors)
        if self._keeps and not known and self._room(tensors):
            self._entries[key] = Entry(tuple(tensors), cost)
            self._add(key, tensors)
            self._asked.add(key, tensors)

    def idle(self, device: str) -> int:
        """Return the bytes on a kind of device, ``cpu`` or ``cuda``, that are other cells' alone so far.

        They are those of queries that this episode does not ask, and of what this cell has not asked for.
        """
        return self._bytes[device] - self._met.bytes[device] - self._asked.bytes[device]

    def _add(self, key: Hashable, tensors: Sequence[Tensor]) -> None:
        self._bytes += _by_device(tensors)
        for place, tensor in enumerate(tensors):
            self._names[id(tensor)] = (key, place), tensor._version

    def _room(self, tensors: Sequence[Tensor]) -> bool:
        limit, device, there = self._limit, tensors[0].device, self._bytes.total()
        if device.type == "cuda":
            limit = min(limit, (torch.cuda.mem_get_info(device)[0] + there) // _OF_FREE)
        return there + sum(tensor.nbytes for tensor in tensors) <= limit


class _InUse:
    """Of what is kept, what somebody uses: keys, and their bytes by kind of device."""

    def __init__(self) -> None:
        self._keys: set[Hashable] = set()
        self.bytes: Counter[str] = Counter()

    def add(self, key: Hashable, tensors: Sequence[Tensor]) -> None:
        """Note that the tensors of a key are used."""
        if key not in self._keys:
            self._keys.add(key)
            self.bytes += _by_device(tensors)

    def remove(self, key: Hashable, tensors: Sequence[Tensor]) -> None:
        """Note that they are not kept any more."""
        if key in self._keys:
            self._keys.remove(key)
            self.bytes -= _by_device(tensors)

    def clear(self) -> None:
        """Begin anew."""
        self._keys.clear()
        self.bytes.clear()


def _by_device(tensors: Sequence[Tensor]) -> Counter[str]:
    found: Counter[str] = Counter()
    for tensor in tensors:
        found[tensor.device.type] += tensor.nbytes
    return found


_kept: ContextVar[Kept[Any] | None] = ContextVar("kept", default=None)


def kept_for_cells() -> Kept[Any] | None:
    """Return what is kept for the cell that runs; None outside a cell of a run."""
    return _kept.get()


def idle_bytes(device: str) -> int:
    """Return the bytes on a kind of device that are kept for other cells than the one that runs."""
    kept = _kept.get()
    return 0 if kept is None else kept.idle(device)
