"""What building a closed-form method takes beside its state: parts of the images, never all of them anew."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.core.state_bytes import nbytes
from bench.utils.random import Stream
from tests.parity._naive import make
from tests.speed.allocated import peak_bytes
from tests.speed.peers.problems import images, task_of

MIB = 1 << 20
WIDE = {"width": 300}


@pytest.mark.parametrize(
    ("name", "settings", "beside"),
    [
        ("slda", {}, 40),
        ("gda", {}, 40),
        ("klda", WIDE, 50),
        ("ranpac", WIDE, 50),
        ("fecam", {}, 120),
    ],
)
def test_memory_beside_the_state_does_not_grow_with_the_images(
    name: str, settings: dict[str, Any], beside: int
) -> None:
    """18,000 images of 512 numbers are 35 MiB, and 70 in float64."""
    x, columns, c = images(900, 20)
    peaks = []
    for n in (9000, 18_000):
        rows = torch.arange(len(x))[:: len(x) // n]
        given, at = x[rows].clone(), columns[rows]
        task, method = task_of(given, at, c), make(name, **settings)
        state, peak = peak_bytes(lambda method=method, task=task: method.build(task, rng=Stream(0)), given, at)
        peaks.append(peak - nbytes(state))
    assert peaks[1] < beside * MIB, [peak // MIB for peak in peaks]
    assert peaks[1] < peaks[0] + 4 * MIB, [peak // MIB for peak in peaks]
