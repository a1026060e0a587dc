"""CUDA's rules: which operands go together, what waits for the device, what is a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tests.pretend.tensor import CARD, OnCard

_INDEXED = frozenset({"index", "index_put", "_index_put_impl", "_unsafe_index", "_unsafe_index_put"})
"""Operations that take indices and masks from the host for a tensor of the card; they copy them there."""
_SIZED = frozenset({"nonzero", "_unique", "_unique2", "unique_dim", "unique_consecutive", "masked_select", "bincount"})
"""The size of the result depends on values."""
_READ = frozenset({"_local_scalar_dense", "_linalg_check_errors"})
"""Nothing but a reading of what lies on the card; ``torch.linalg`` so checks whether a decomposition went well."""
_CHECKED = frozenset({"equal", "_linalg_eigh", "_linalg_svd"})
"""What reads back its own result."""
_MIXED = f"Expected all tensors to be on the same device, but found at least two devices, {CARD} and cpu!"
_ALLOCATIONS = frozenset(
    {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "lift_fresh"}
)


@dataclass(frozen=True)
class Kind:
    """What CUDA makes of an operation.

    Attributes
    ----------
    name : str
        Without namespace, overload and the underscore of the in-place form.
    launches : bool
        Whether it is a kernel, and not a view, an allocation or a reading.
    waits : bool
        Whether the host stands still for it whatever its operands are.
    indexes : bool
        Whether it takes indices from the host.
    moves : bool
        Whether it goes from device to device.
    """

    name: str
    launches: bool
    waits: bool
    indexes: bool
    moves: bool


@cache
def kind_of(func: Any) -> Kind:
    """Return what CUDA makes of an operation."""
    name = func.name().removeprefix("aten::").partition(".")[0]
    name = name[:-1] if name.endswith("_") and not name.endswith("__") else name
    if torch.Tag.inplace_view in func.tags or name in ("set", "resize", "resize_as"):
        raise NotImplementedError(f"the pretend device has no {name}: it changes the shape of a tensor in place")
    waits = name in _SIZED or name in _READ or name in _CHECKED or func.name() == "aten::repeat_interleave.Tensor"
    moves = name in ("_to_copy", "copy", "_foreach_copy")
    view = func.is_view or name in ("detach", "alias")
    launches = not view and name not in _ALLOCATIONS and name not in _READ
    return Kind(name, launches, waits, name in _INDEXED, moves)


class Operands:
    """The tensors that an operation is given.

    Attributes
    ----------
    here, elsewhere : list of Tensor
        Those of the card, and those of the CPU that have dimensions: one of none goes with the card as a number does.
    """

    def __init__(self) -> None:
        self.here: list[OnCard] = []
        self.elsewhere: list[Tensor] = []

    def host_of(self, value: Any) -> Any:
        """Return an argument with the values of its tensors of the card in their place, and take note of them."""
        if isinstance(value, OnCard):
            self.here.append(value)
            return value.host
        if isinstance(value, Tensor):
            if value.dim():
                self.elsewhere.append(value)
        elif isinstance(value, (list, tuple)):
            return [self.host_of(part) for part in value]
        return value


def check(kind: Kind, args: Sequence[Any], operands: Operands, *, generator: Any, on_card: bool) -> bool:
    """Raise what CUDA raises for operands that do not go together.

    Parameters
    ----------
    generator : torch.Generator or None
        What the operation draws from.
    on_card : bool
        Whether its result is to lie on the card.

    Returns
    -------
    bool
        Whether indices were taken from the host.
    """
    if on_card and generator is not None:
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    if not operands.here or kind.moves:
        return False
    if kind.indexes:
        return _check_indices(args)
    if operands.elsewhere:
        shapes = ", ".join(str(tuple(t.shape)) for t in operands.elsewhere)
        raise RuntimeError(f"{_MIXED} (aten::{kind.name} of cpu tensors {shapes})")
    return False


def _check_indices(args: Sequence[Any]) -> bool:
    if not isinstance(args[0], OnCard):
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
    value = args[2] if len(args) > 2 else None
    if isinstance(value, Tensor) and not isinstance(value, OnCard) and value.dim():
        raise RuntimeError(f"{_MIXED} (values assigned by index)")
    return any(isinstance(index, Tensor) and not isinstance(index, OnCard) for index in args[1])


def is_masked(args: Sequence[Any]) -> bool:
    """Return whether an indexing operation has a mask, whose rows are counted first."""
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
