"""Energy: what the card takes doing nothing, and in products, by the counter that the records use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from bench.cost import peak_memory
from tools.gpu.section import Cell, Deadline, Row

Joules = Callable[[], float | None]


def rows(
    device: str,
    deadline: Deadline,
    *,
    joules: Joules = peak_memory.gpu_joules,
    seconds: float = 2.0,
    side: int = 4096,
) -> Iterator[Row]:
    """Yield the watts of both; without a driver that tells, a row that says what to install."""
    # The counter is that of the card this process uses, so it has to use one.
    a = torch.ones(side, side, device=device)
    if joules() is None:
        why = "the driver tells nothing; pip install nvidia-ml-py" if device != "cpu" else "a CPU has no such counter"
        yield Row({"load": why, "seconds": None, "joules": None, "watts": None, "joules / TFLOP": None})
        return
    wait = min(seconds, deadline.left / 4)
    idle = _row("none", joules, lambda: time.sleep(wait), lambda: 0)
    yield idle
    done = 0

    def multiply() -> None:
        nonlocal done
        end = time.monotonic() + wait
        while time.monotonic() < end:
            # A few at a time, since a call returns before the card is done with it.
            for _ in range(8):
                done += 1
                product = a @ a
            float(product[0, 0])

    busy = _row("fp32 products", joules, multiply, lambda: 2 * side**3 * done)
    watts = (idle.cells["watts"], busy.cells["watts"])
    lower = all(isinstance(one, float) for one in watts) and not 0 < float(watts[0] or 0) < float(watts[1] or 0)
    yield Row(busy.cells, "products take no more power than doing nothing, so the counter does not count" * lower)


def _row(load: str, joules: Joules, run: Callable[[], None], flops: Callable[[], int]) -> Row:
    before, start = joules(), time.monotonic()
    run()
    spent, after = time.monotonic() - start, joules()
    assert before is not None
    assert after is not None
    taken = after - before
    cells: dict[str, Cell] = {"load": load, "seconds": spent, "joules": taken, "watts": taken / spent}
    return Row({**cells, "joules / TFLOP": taken / (flops() / 1e12) if flops() else None})
