"""What building a method takes beside its state, and how its work and memory grow: counted, not timed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.core.state_bytes import nbytes
from bench.cost.meter import KINDS, Meter, metered, phase
from bench.functional import gaussian, logistic_regression, principal_axes, softmax_curvature, stored_rows
from bench.functional.classwise import normalise
from bench.methods import lp_plus_plus
from bench.utils.random import Stream
from tests.parity._naive import make
from tests.speed.allocated import peak_bytes
from tests.speed.peers.problems import images, task_of
from tools.growth import CLOSED_FORM, Size, task
from tools.growth_formulas import FORMULAS, largest_powers

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


SIZE: Size = (1600, 20, 32)
SMALLER: dict[str, Size] = {"proker": (400, 20, 32)}
"""Sizes of methods whose work grows with the third power of the images."""
SETTINGS: dict[str, dict[str, Any]] = {
    "klda": {"width": 48},
    "ranpac": {"width": 48, "selection_items": 100},
    "proker": {"grid_steps": 2},
    "tip-adapter": {"beta_steps": 4, "alpha_steps": 2},
    "tip-x": {"beta_steps": 2, "alpha_steps": 2, "gamma_steps": 2},
    "ape": {"beta_steps": 2, "alpha_steps": 2, "gamma_steps": 2},
}
"""Random features and settings are constants of the formulas: few of them, so that other terms show too."""
TOLERANCE = 0.12


@pytest.fixture(scope="module")
def taken() -> dict[tuple[str, Size], dict[str, float]]:
    """What was counted of each method and size, each once."""
    return {}


def counted(name: str, size: Size) -> dict[str, float]:
    """Return the FLOPs of building and scoring and the most bytes of tensors while building, its state among them."""
    given, method = task(*size), make(name, **SETTINGS.get(name, {}))
    queries, meter = normalise(given.support.x[:100] + 0.1), Meter()
    with metered(meter):
        with phase("build"):
            state = method.build(given, rng=Stream(0))
        with phase("score"), torch.no_grad():
            method.score(state, queries)
    with pytest.MonkeyPatch.context() as patch:
        # So that the images are more than a block at any size.
        patch.setattr(gaussian, "_ROWS", 256)
        _, held = peak_bytes(lambda: method.build(given, rng=Stream(0)), given.support.x, given.support.labels)
    flops = {name: sum(meter.flops[name, kind] for kind in KINDS) for name in ("build", "score")}
    return {**flops, "held": held}


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["n", "C", "d"])
@pytest.mark.parametrize("name", CLOSED_FORM)
def test_no_closed_form_method_grows_faster_than_its_formula(
    name: str, axis: int, taken: dict[tuple[str, Size], dict[str, float]]
) -> None:
    """Operations are counted and not timed, so that the powers are the same on every machine."""
    least = SMALLER.get(name, SIZE)
    more = list(least)
    more[axis] *= 4
    both = [least, (more[0], more[1], more[2])]
    for size in both:
        if (name, size) not in taken:
            taken[name, size] = counted(name, size)
    small, large = (taken[name, size] for size in both)
    for what in ("build", "score", "held"):
        power = math.log(large[what] / small[what], 4)
        most = largest_powers(getattr(FORMULAS[name], what))[axis]
        assert power <= most + TOLERANCE, f"{what}: measured {power:.2f}"
    # A method that did nothing would grow like nothing.
    assert min(small.values()) > 0


BLOCKWISE: dict[str, tuple[dict[str, Any], float]] = {
    "linear-probe": ({"c": 1.0, "max_iterations": 3}, 60),
    "lp++": ({"epochs": 2}, 60),
    "real-linear": ({"passes": 1}, 20),
    "cross-modal-probe": ({"steps": 5}, 20),
    "clap": ({"epochs": 1}, 20),
    "lwf": ({"epochs": 1, "min_steps": 0}, 40),
    "proof": ({"epochs": 1, "per_class": 2}, 60),
}
"""Settings of a short training, and the MiB that may be held beside the state."""


@pytest.mark.parametrize("name", BLOCKWISE)
def test_methods_that_train_hold_no_copy_of_their_images(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """18,000 images of 256 numbers are 9 MiB in half precision, 18 in float32 and 35 in float64; limits are lowered."""
    monkeypatch.setattr(stored_rows, "_WHOLE", 1 << 16)
    monkeypatch.setattr(stored_rows, "_BLOCK", 1 << 16)
    monkeypatch.setattr(principal_axes, "_HELD", 1 << 16)
    monkeypatch.setattr(logistic_regression, "_LOGITS", 1 << 16)
    monkeypatch.setattr(softmax_curvature, "_NUMBERS", 1 << 16)
    monkeypatch.setattr(lp_plus_plus, "_LOGITS", 1 << 16)
    monkeypatch.setattr(logistic_regression, "_CURVED", 0)
    settings, beside = BLOCKWISE[name]
    peaks = []
    for n in (9000, 18_000):
        given = task(n, 20, 256)
        x = given.support.x.half()
        given, method = replace(given, support=replace(given.support, x=x)), make(name, **settings)
        state, peak = peak_bytes(lambda method=method, given=given: method.build(given, rng=Stream(0)), x)
        peaks.append(peak - nbytes(state))
    assert peaks[1] < beside * MIB, [peak / MIB for peak in peaks]
    # What is counted of every image are its class and a few numbers more.
    assert peaks[1] < peaks[0] + 1.5 * MIB, [peak / MIB for peak in peaks]
