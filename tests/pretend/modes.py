"""The two hooks into torch: one that hears the name of the device, and one that takes its arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.pretend.counts import Counts, source
from tests.pretend.rules import Kind, Operands, check, is_masked, kind_of
from tests.pretend.tensor import STAND_IN, OnCard, is_card, mapped

_HOST = torch.device("cpu")
_FROM_DATA = frozenset({torch.tensor, torch.as_tensor, torch.asarray})


class Names(TorchFunctionMode):
    """Turns the name ``cuda`` into that of the stand-in, before torch looks for a driver."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs) if kwargs else {}
        if "device" in given and func in _FROM_DATA and is_card(given["device"]):
            # On the stand-in torch would keep the shape of the data and drop the values.
            leaf = given.pop("requires_grad", False)
            host = func(*args, **{**given, "device": "cpu"})
            return host.to(STAND_IN).requires_grad_(leaf)
        if func is Tensor.cuda:
            return args[0].to(STAND_IN)
        if func is Tensor.pin_memory:
            # Memory that stays in its place has the same values, in a tensor of its own.
            return args[0].clone()
        for key, value in given.items():
            if _names_card(value):
                given[key] = STAND_IN
        if any(_names_card(value) for value in args):
            args = [STAND_IN if _names_card(value) else value for value in args]
        return func(*args, **given)


def _names_card(value: Any) -> bool:
    if isinstance(value, str):
        return value == "cuda" or value.startswith("cuda:")
    return isinstance(value, torch.device) and value.type == "cuda"


class Arithmetic(TorchDispatchMode):
    """Checks every operation on the card by its rules, counts it, and computes it on the CPU."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self._counts = counts

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here; to wrap each operation against it would import the compiler, which takes seconds.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs) if kwargs else {}
        device = given.get("device")
        to_card = device is not None and is_card(device)
        if OnCard not in types and not to_card:
            return func(*args, **given)
        kind, operands = kind_of(func), Operands()
        host_args = [operands.host_of(value) for value in args]
        host_given = {key: operands.host_of(value) for key, value in given.items()}
        on_card = to_card if device is not None else kind.name != "copy" or isinstance(args[0], OnCard)
        indexed = check(kind, args, operands, generator=given.get("generator"), on_card=on_card)
        line = source()
        if kind.moves:
            self._count_move(line, kind, args, given, on_card=on_card)
        else:
            self._counts.launches[line] += kind.launches
            if kind.waits or (kind.indexes and is_masked(args)):
                self._counts.waits[line] += 1
            if indexed:
                self._counts.copies[line] += 1
        if device is not None:
            host_given["device"] = _HOST
        out = func(*host_args, **host_given)
        # What an operation changes in place it gives back, and so does this.
        known = {id(t.host): t for t in operands.here} if func._schema.is_mutable else {}

        def found(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            if id(value) in known:
                return known[id(value)]
            return OnCard(value) if on_card else value

        return mapped(out, found)

    def _count_move(
        self, line: str, kind: Kind, args: Sequence[Any], given: Mapping[str, Any], *, on_card: bool
    ) -> None:
        """Count a copy between devices, for which the host waits on the way back; within one it is a kernel."""
        moved = args[0] if kind.name == "_to_copy" else args[1]
        from_card = any(isinstance(part, OnCard) for part in (moved if isinstance(moved, (list, tuple)) else [moved]))
        if from_card == on_card:
            self._counts.launches[line] += 1
            return
        self._counts.copies[line] += 1
        if from_card and not given.get("non_blocking", len(args) > 2 and bool(args[2])):
            self._counts.waits[line] += 1
