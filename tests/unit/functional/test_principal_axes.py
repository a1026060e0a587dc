"""Rows that are read block by block give what rows that are held give."""

from __future__ import annotations

import pytest
import torch

from bench.functional import logistic_regression, principal_axes, softmax_curvature
from bench.functional.classwise import normalise
from bench.functional.logistic_regression import Linear, LogisticRegression
from bench.functional.principal_axes import PrincipalRows
from bench.functional.stored_rows import MadeRows
from bench.utils.random import Stream

N, D, C = 90, 12, 5


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    draw = Stream(3).numpy()
    centres, noise = draw.standard_normal((C, D)), draw.standard_normal((N, D))
    columns = torch.arange(N) % C
    x = torch.from_numpy(centres)[columns] + 0.7 + torch.from_numpy(noise)
    return x.half(), columns


def fitted(c: float, tolerance: float, weights: torch.Tensor | None) -> Linear:
    x, columns = problem()
    rows = MadeRows(x, normalise)
    return LogisticRegression(rows, columns, C, weights=weights, tolerance=tolerance).fit(c)


def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be read and held in parts that do not divide the rows evenly."""
    monkeypatch.setattr(principal_axes, "_READ", 16)
    monkeypatch.setattr(logistic_regression, "_LOGITS", 13 * C)
    monkeypatch.setattr(softmax_curvature, "_NUMBERS", 11 * C)


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("tolerance", [1e-5, 1e-12])
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_a_probe_of_rows_read_in_blocks_is_that_of_held_rows(
    c: float, tolerance: float, weighed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, columns = problem()
    weights = torch.linspace(0.5, 2, N) if weighed else None
    held = LogisticRegression(normalise(x), columns, C, weights=weights, tolerance=tolerance).fit(c)
    apart(monkeypatch)
    read = fitted(c, tolerance, weights)
    largest = float(held(normalise(x)).abs().max())
    torch.testing.assert_close(
        read(normalise(x)), held(normalise(x)), rtol=0, atol=(1e-5 if tolerance == 1e-12 else 3e-3) * largest
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_slopes_and_squares_are_those_in_the_axes(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = problem()
    held = PrincipalRows.of(normalise(x), None, dtype)
    apart(monkeypatch)
    read = PrincipalRows.of(MadeRows(x, normalise), None, dtype)
    assert held.turned
    assert not read.turned
    near = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(read.mean, held.mean)
    weights, q = torch.ones(D, C, dtype=dtype), torch.linspace(-1, 1, N * C, dtype=dtype).view(N, C)
    # An axis may point either way, so that what does not depend on it is compared.
    own = (held.axes.T @ read.axes).round()
    torch.testing.assert_close(own.abs(), torch.eye(D, dtype=torch.float64))
    turn = own.to(dtype)
    parts = list(read.blocks(16))
    assert [len(rows) for _, rows in parts] == [16] * 5 + [10]
    logits = torch.cat([rows @ read.met(turn.T @ weights) for _, rows in parts])
    torch.testing.assert_close(logits, held.rows[:] @ weights, **near)
    squares = torch.cat([read.squares(rows) for _, rows in parts])
    torch.testing.assert_close(squares, held.rows[:].square(), **near)
    slopes = sum(rows.T @ q[here] for here, rows in parts)
    assert isinstance(slopes, torch.Tensor)
    read.turn_(slopes)
    torch.testing.assert_close(turn @ slopes, held.rows[:].T @ q, **near)
