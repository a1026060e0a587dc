"""Products of a matrix with itself and systems of them, in float64 and in parts, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_SIDE = 256
"""Columns of a part of a product: half of it is left out, since it is the mirror image of the other."""
_ROWS = 1 << 10
"""Rows that are held in float64 at a time."""
WHOLE = 1 << 11
"""Rows up to which a matrix is decomposed at once; it takes a copy of it and another of its factor."""


def add_gram(gram: Tensor, rows: Tensor) -> None:
    """Add H'H to the lower triangle of a float64 Gram matrix [M, M], of rows H [n, M] in any floating dtype."""
    for wide in (part.double() for part in rows.split(_ROWS)):
        for start in range(0, len(gram), _SIDE):
            here = slice(start, start + _SIDE)
            gram[here, : start + _SIDE].addmm_(wide[:, here].T, wide[:, : start + _SIDE])


def mirror(matrix: Tensor) -> Tensor:
    """Return a matrix [n, n] with what lies below its diagonal copied above it, in place."""
    for start in range(0, len(matrix), _SIDE):
        here = slice(start, start + _SIDE)
        corner = matrix[here, here]
        corner.copy_(corner.tril() + corner.tril(-1).T)
        matrix[:start, here] = matrix[here, :start].T
    return matrix


def kernel(rows: Tensor) -> Tensor:
    """Return H H' of rows H [n, M], float64 [n, n]."""
    found = rows.new_empty(len(rows), len(rows), dtype=torch.float64)
    for start in range(0, len(rows), _ROWS):
        here = slice(start, start + _ROWS)
        wide = rows[here].double()
        for column in range(0, len(wide), _SIDE):
            corner = found[start + column : start + len(wide), start + column : start + column + _SIDE]
            torch.mm(wide[column:], wide[column : column + _SIDE].T, out=corner)
        for below in range(start + _ROWS, len(rows), _ROWS):
            there = slice(below, below + _ROWS)
            torch.mm(rows[there].double(), wide.T, out=found[there, here])
    return mirror(found)


def products(a: Tensor, b: Tensor) -> Tensor:
    """Return A B' of rows A [n, M] and B [m, M], float64 [n, m]."""
    found = a.new_empty(len(a), len(b), dtype=torch.float64)
    for start in range(0, len(b), _ROWS):
        wide = b[start : start + _ROWS].double()
        for at in range(0, len(a), _ROWS):
            found[at : at + _ROWS, start : start + _ROWS] = a[at : at + _ROWS].double() @ wide.T
    return found


def solve_shifted(matrix: Tensor, ridge: float, right: Tensor) -> Tensor:
    """Return (A + ridge I)^-1 B of right sides B [n, r], for A [n, n] positive definite and exactly symmetric; float64.

    Of a large matrix the Cholesky factor is made panel by panel (Golub and Van Loan, Matrix Computations, 4th edition,
    2013, section 4.2.6). It takes the room above A's diagonal meanwhile, where A's own numbers are put back afterwards.
    """
    n = len(matrix)
    if n <= WHOLE:
        shifted = matrix.clone()
        shifted.diagonal().add_(ridge)
        return torch.cholesky_solve(right, torch.linalg.cholesky(shifted))

    def panel(start: int, stop: int) -> Tensor:
        found = matrix[start:, start:stop].clone()
        found.diagonal().add_(ridge)
        return found

    try:
        return _solve(panel, right, _Above(matrix))
    finally:
        mirror(matrix)


def solve_panels(panel: Callable[[int, int], Tensor], right: Tensor) -> Tensor:
    """Return A^-1 B for a symmetric positive definite A [n, n] that is never whole, and right sides B [n, r].

    The factor is made from the left; n^2 / 2 numbers of it are kept, beside B.

    Parameters
    ----------
    panel : callable
        Takes where columns begin and end; returns a new tensor of them from the diagonal down, A[begin:, begin:end].
    """
    return _solve(panel, right, _Listed())


class _Listed:
    """Panels of a factor in a list: n^2 / 2 numbers."""

    def __init__(self) -> None:
        self._panels: list[Tensor] = []

    def keep(self, below: Tensor) -> None:
        """Keep what lies below the diagonal block of the next panel."""
        self._panels.append(below)

    def below(self, place: int, start: int) -> Tensor:
        """Return the rows of a panel from ``start`` on, which lies below its diagonal block."""
        return self._panels[place][start - (place + 1) * _SIDE :]


class _Above:
    """Panels of the factor of a matrix in what lies above its own diagonal blocks, transposed."""

    def __init__(self, matrix: Tensor) -> None:
        self._matrix, self._count = matrix, 0

    def keep(self, below: Tensor) -> None:
        """Keep what lies below the diagonal block of the next panel."""
        start = self._count * _SIDE
        self._matrix[start : start + _SIDE, start + _SIDE :] = below.T
        self._count += 1

    def below(self, place: int, start: int) -> Tensor:
        """Return the rows of a panel from ``start`` on, which lies below its diagonal block."""
        return self._matrix[place * _SIDE : (place + 1) * _SIDE, start:].T


def _solve(panel: Callable[[int, int], Tensor], right: Tensor, factor: _Listed | _Above) -> Tensor:
    """Return what :func:`solve_panels` does; ``factor`` holds the panels, whose diagonal blocks are kept here."""
    n, tops = len(right), list[Tensor]()
    for start in range(0, n, _SIDE):
        part = panel(start, min(n, start + _SIDE))
        width = part.shape[1]
        for known in range(len(tops)):
            rows = factor.below(known, start)
            part.addmm_(rows, rows[:width].T, alpha=-1)
        tops.append(torch.linalg.cholesky(part[:width]))
        factor.keep(torch.linalg.solve_triangular(tops[-1].T, part[width:], upper=True, left=False))
    found = right.clone()
    for place, top in enumerate(tops):
        start = place * _SIDE
        after, here = start + len(top), slice(start, start + len(top))
        found[here] = torch.linalg.solve_triangular(top, found[here], upper=False)
        found[after:].addmm_(factor.below(place, after), found[here], alpha=-1)
    for place, top in reversed(list(enumerate(tops))):
        start = place * _SIDE
        after, here = start + len(top), slice(start, start + len(top))
        found[here].addmm_(factor.below(place, after).T, found[after:], alpha=-1)
        found[here] = torch.linalg.solve_triangular(top.T, found[here], upper=True)
    return found
