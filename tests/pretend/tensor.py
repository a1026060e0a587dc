"""The tensor that says it lies on a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

CARD = torch.device("cuda", 0)
"""Where a pretend tensor says it is."""
STAND_IN = torch.device("meta")
"""Where torch itself takes it to be. A build of torch without CUDA makes no tensor on ``cuda``, and one with CUDA looks
for a driver; of ``meta`` it knows the device and computes nothing, so that all arithmetic comes to the rules."""


def is_card(device: Any) -> bool:
    """Return whether a device, or its name, is the card by either of its names."""
    return device is not None and torch.device(device).type in (CARD.type, STAND_IN.type)


class OnCard(Tensor):
    """A tensor on the pretend device; its values lie in :attr:`host`.

    Views share the memory of their base, as their hosts do.
    """

    host: Tensor

    @staticmethod
    def __new__(cls, host: Tensor) -> OnCard:
        """Return the tensor whose values are ``host``, a CPU tensor without a gradient."""
        made: OnCard = torch.Tensor._make_wrapper_subclass(
            cls,
            host.shape,
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            layout=host.layout,
            device=STAND_IN,
        )
        made.host = host
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> NoReturn:
        """Refuse to compute where there is no pretend device: the rules take every operation before it comes here."""
        raise RuntimeError(f"{func} on a pretend tensor outside of `with pretend_cuda()`")

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"OnCard({self.host!r})"

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The card, by its full name, as CUDA gives it."""
        return CARD

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def get_device(self) -> int:
        return 0

    # -- what CUDA refuses ---------------------------------------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """Refuse, as CUDA does; ``force`` copies."""
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(
            f"can't convert {CARD} device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def __array__(self, dtype: Any = None) -> np.ndarray:
        """Refuse, as CUDA does."""
        return self.numpy()

    # -- what torch answers without an operation that the rules would see ----------------------------------------------

    def tolist(self) -> Any:
        """Return the values; that is a copy to the host."""
        return self.detach().cpu().tolist()

    def data_ptr(self) -> int:
        return self.host.data_ptr()

    def untyped_storage(self) -> Any:
        return self.host.untyped_storage()

    def new_tensor(
        self, data: Any, *, dtype: torch.dtype | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """Return data as a tensor on the card, or on the device that is named."""
        made = torch.tensor(data.tolist() if isinstance(data, Tensor) else data, dtype=dtype or self.dtype)
        return made.to(CARD if device is None else device).requires_grad_(requires_grad)

    def __getitem__(self, key: Any) -> Tensor:
        return super().__getitem__(_indices(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_indices(key), value)


def _indices(key: Any) -> Any:
    """Return an index with its lists and arrays as CPU tensors; torch would make them on ``meta``, without values."""
    if isinstance(key, tuple):
        return tuple(_indices(part) for part in key)
    if isinstance(key, np.ndarray) and key.ndim:
        return torch.from_numpy(key)
    if isinstance(key, list):
        made = torch.tensor(key)
        return made if made.numel() else made.long()
    return key


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return the result of an operation with ``change`` applied to what its lists hold."""
    if isinstance(value, (list, tuple)):
        return type(value)([mapped(part, change) for part in value])
    return change(value)
