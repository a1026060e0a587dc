"""Which device these tests run on: a card, or for a look at the tests themselves whatever BENCH_TEST_DEVICE names."""

from __future__ import annotations

import os

import pytest
import torch

DEVICE = os.environ.get("BENCH_TEST_DEVICE", "cuda")
"""``BENCH_TEST_DEVICE=cpu`` shows without a card that the tests hold where both sides are the same device."""

on_a_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no CUDA device"),
]
"""The marks of a module here."""

needs_cuda = pytest.mark.skipif(DEVICE != "cuda", reason="only a card has what is measured")
