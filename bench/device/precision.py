"""In which precision encoders, searches and trainings compute, decided in one place.

Whatever is compared between machines is computed in float32 that is float32: an Ampere card or later multiplies in
TensorFloat-32, with 10 bits of mantissa in the place of 23, wherever the process allows it, and torch allows it to
convolutions by default. :func:`full_float32` takes that back for a block. The loss of a training may be computed in
bfloat16, where a run asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch

from bench.utils.precision import TrainingPrecision

Precision = Literal["fp32", "fp16", "bf16"]
"""What an encoder computes in and its features are stored in."""

DTYPES: Mapping[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_LESS = ("tf32", "bf16")
"""What torch may be told to compute in where float32 is asked for."""


def loss_precision(device: torch.device, precision: TrainingPrecision) -> AbstractContextManager[Any]:
    """Return a block in which a loss is computed in bfloat16 where torch's autocast deems it safe, or in float32."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, torch.bfloat16)


@contextmanager
def full_float32() -> Iterator[None]:
    """Make float32 products and convolutions inside the block use float32, whatever the process has allowed elsewhere.

    What the process had is there again afterwards, whether it was said through torch's older switches
    (``torch.set_float32_matmul_precision``, ``allow_tf32``) or the newer ones (``fp32_precision``, from 2.9 on), of
    which torch refuses to be asked for the one where the other was used.
    """
    with _older_products_full(), _newer_full() if _NEWER else _older_convolutions_full():
        yield


@contextmanager
def _older_products_full() -> Iterator[None]:
    try:
        allowed = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Torch refuses to tell where a newer switch says otherwise; then that one counts.
        allowed = "highest"
    if allowed == "highest":
        yield
        return
    # The older switch sets the newer ones.
    written = [(one, _own(one)) for one in (("cuda", "matmul"), ("mkldnn", "matmul"))] if _NEWER else []
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)
        for one, own in written:
            _set(one, own)


@contextmanager
def _older_convolutions_full() -> Iterator[None]:
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def _newer_full() -> Iterator[None]:
    changed: list[tuple[_Switch, str]] = []
    try:
        for one in _SWITCHES:
            if _shown(one) in _LESS:
                # One that shows torch's default, or the value of the switch above, is told through that one: what it
                # is set to itself it keeps, and there is no way back to a default.
                where = one if _own(one) != "none" else _above(one)
                changed.append((where, _own(where)))
                _set(where, "ieee")
        yield
    finally:
        for one, own in reversed(changed):
            _set(one, own)


_Switch = tuple[str, str]
_TOP: _Switch = ("generic", "all")
_SWITCHES: tuple[_Switch, ...] = (
    *(("cuda", what) for what in ("matmul", "conv", "rnn")),
    *(("mkldnn", what) for what in ("matmul", "conv", "rnn")),
)
"""Torch's newer switches: of a GPU and of the CPU."""
_NEWER = hasattr(torch._C, "_set_fp32_precision_setter")
"""Whether there are any. Asked for below ``torch.backends``, whose ``mkldnn.fp32_precision`` sets another switch."""


def _shown(switch: _Switch) -> str:
    return torch._C._get_fp32_precision_getter(*switch)


def _set(switch: _Switch, value: str) -> None:
    torch._C._set_fp32_precision_setter(*switch, value)


def _above(switch: _Switch) -> _Switch:
    return _TOP if switch[1] == "all" else (switch[0], "all")


def _own(switch: _Switch) -> str:
    """Return what a switch itself was set to, ``none`` where it shows a default or the value of the one above it."""
    shown = _shown(switch)
    if shown == "none" or switch == _TOP:
        return shown
    above = _above(switch)
    kept = _own(above)
    _set(above, "tf32" if shown == "ieee" else "ieee")
    try:
        return shown if _shown(switch) == shown else "none"
    finally:
        _set(above, kept)
