"""A tridiagonal form solves systems of every ridge, and says where rounding left none."""

from __future__ import annotations

import pytest
import torch

from bench.functional import ridge
from bench.functional.tridiagonal import Tridiagonal
from bench.utils.random import Stream


def drawn(n: int, m: int, purpose: str = "rows") -> torch.Tensor:
    return torch.from_numpy(Stream(0).child(purpose).numpy().standard_normal((n, m)))


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e6])
def test_it_solves_what_the_matrix_and_a_ridge_pose(n: int, penalty: float) -> None:
    rows, right, left = drawn(50, n), drawn(n, 3, "right"), drawn(n, 4, "left")
    gram = rows.T @ rows
    form = Tridiagonal.of(gram)
    solved = form.solve(penalty, form.turned(right))
    assert solved is not None
    expected = left.T @ torch.linalg.solve(gram + penalty * torch.eye(n), right)
    torch.testing.assert_close(form.turned(left).T @ solved, expected, rtol=1e-9, atol=1e-12)


def test_nothing_is_changed_and_an_indefinite_matrix_is_said() -> None:
    gram, right = torch.diag(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)), drawn(3, 2)
    before = gram.clone(), right.clone()
    form = Tridiagonal.of(gram)
    assert form.solve(1.0, form.turned(right)) is None
    assert form.solve(2.5, form.turned(right)) is not None
    assert torch.equal(gram, before[0])
    assert torch.equal(right, before[1])


@pytest.mark.parametrize("rows", [30, 200])
def test_held_out_errors_are_those_of_eigenvectors(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    h, y = drawn(rows, 60).relu(), torch.eye(5, dtype=torch.float64)[torch.arange(rows) % 5]
    test, penalties = torch.arange(rows) % 4 == 0, (1e-4, 1.0, 1e4)
    found = ridge.held_out_errors(h, y, test, penalties)
    monkeypatch.setattr(ridge, "_by_tridiagonal", lambda *_: None)
    assert found == pytest.approx(ridge.held_out_errors(h, y, test, penalties), rel=1e-9)
