"""Bytes of tensors that are alive, counted operation by operation: what a process's peak hides at small sizes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")


class Alive(TorchDispatchMode):
    """Follows the storages of what operations return, from the first that shows them until they are freed."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._seen: dict[int, weakref.ref[Any]] = {}
        self._given = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
                self._note(leaf.untyped_storage())
        return out

    def _note(self, storage: Any) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place in self._seen or place in self._given:
            return

        def freed(_: Any) -> None:
            self._seen.pop(place, None)
            self.now -= size

        self._seen[place] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_bytes(run: Callable[[], T], *given: Tensor) -> tuple[T, int]:
    """Return what a call returns, and the most bytes of tensors that were alive at once, those ``given`` left out."""
    alive = Alive(given)
    with alive:
        answer = run()
    return answer, alive.peak
