"""The two hooks into torch: one that hears the name of the device, and one that takes its arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.pretend.counts import Counts, source
from tests.pretend.rules import check, is_masked, kind_of
from tests.pretend.tensor import STAND_IN, OnCard, is_card, mapped, tensors, to_host

_FROM_DATA = frozenset({torch.tensor, torch.as_tensor, torch.asarray})


class Names(TorchFunctionMode):
    """Turns the name ``cuda`` into the stand-in that the arithmetic can be taken of, before torch looks for a driver."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in _FROM_DATA and is_card(given.get("device")):
            # On the stand-in torch would keep the shape of the data and drop the values.
            leaf = given.pop("requires_grad", False)
            host = func(*args, **{**given, "device": "cpu"})
            return host.to(STAND_IN).requires_grad_(leaf)
        if func is Tensor.cuda:
            return args[0].to(STAND_IN)
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
        given = dict(kwargs or {})
        device = given.get("device")
        to_card = is_card(device)
        if OnCard not in types and not to_card:
            return func(*args, **given)
        kind = kind_of(func)
        indexed = check(kind, args, given)
        if kind.moves:
            self._count_move(kind.name, args, to_card=to_card, device=device, given=given)
        else:
            line = source()
            self._counts.launches[line] += kind.launches
            self._counts.waits[line] += kind.waits or (kind.indexes and is_masked(args))
            self._counts.copies[line] += indexed
        if device is not None:
            given["device"] = torch.device("cpu")
        out = func(*to_host(args), **{key: to_host(value) for key, value in given.items()})
        on_card = to_card if device is not None else self._stays(kind.name, args)
        # What an operation changes in place it gives back, and so does this.
        known = {id(t.host): t for t in _all(args, given)}

        def found(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            if id(value) in known:
                return known[id(value)]
            return OnCard(value) if on_card else value

        return mapped(out, found)

    @staticmethod
    def _stays(name: str, args: Sequence[Any]) -> bool:
        """Return whether an operation that names no device answers on the card: not a copy into a CPU tensor."""
        return isinstance(args[0], OnCard) if name == "copy" else True

    def _count_move(
        self, name: str, args: Sequence[Any], *, to_card: bool, device: Any, given: Mapping[str, Any]
    ) -> None:
        line = source()
        if name == "_to_copy":
            begin, end = isinstance(args[0], OnCard), to_card if device is not None else isinstance(args[0], OnCard)
        else:
            pairs = list(zip(_listed(args[0]), _listed(args[1]), strict=True))
            begin, end = (any(isinstance(pair[place], OnCard) for pair in pairs) for place in (1, 0))
        if begin == end:
            self._counts.launches[line] += 1
            return
        self._counts.copies[line] += 1
        non_blocking = given.get("non_blocking", len(args) > 2 and bool(args[2]))
        self._counts.waits[line] += begin and not non_blocking


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _all(args: Sequence[Any], given: Mapping[str, Any]) -> list[OnCard]:
    return [t for t in tensors([*args, *given.values()]) if isinstance(t, OnCard)]
