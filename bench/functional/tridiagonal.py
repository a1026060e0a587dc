"""Systems of one symmetric matrix and many ridges, by a tridiagonal matrix that serves them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.cost.meter import counted_as


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """A = Q T Q' with T tridiagonal, so that (A + a I)^-1 = Q (T + a I)^-1 Q' for every a.

    By Householder reflections (Golub and Van Loan, Matrix Computations, 4th edition, 2013, section 8.3.1), in 4/3 n^3
    operations where eigenvectors take 9 n^3; a system with T takes 5 n and a solution is as precise as one by Cholesky.
    On a processor only.

    Attributes
    ----------
    diagonal : float64 array [n]
    beside : float64 array [n - 1]
        One zero for n = 1, which LAPACK wants.
    """

    diagonal: Any
    beside: Any
    _reflections: Any
    _factors: Any

    @staticmethod
    def of(matrix: Tensor) -> Tridiagonal:
        """Return the form of a symmetric matrix, float64 [n, n], n at least 1."""
        # Imported where it is used: most runs do without.
        from scipy.linalg import lapack

        n = len(matrix)
        with counted_as(products=4 * n**3 // 3):
            if n == 1:
                return Tridiagonal(matrix.diagonal().numpy().copy(), np.zeros(1), np.zeros((0, 0)), np.zeros(0))
            room, _ = lapack.dsytrd_lwork(n, lower=1)
            reduced, diagonal, beside, factors, _ = lapack.dsytrd(matrix.numpy(), lower=1, lwork=int(room))
        return Tridiagonal(diagonal, beside, np.asfortranarray(reduced[1:, :-1]), factors)

    def turned(self, right: Tensor) -> Tensor:
        """Return Q' B of B [n, r], float64."""
        from scipy.linalg import lapack

        n, r = right.shape
        found = np.array(right.numpy(), order="F", copy=True)
        if n > 1 and r:
            with counted_as(products=2 * n * n * r):
                rest = np.asfortranarray(found[1:])
                _, room, _ = lapack.dormqr("L", "T", self._reflections, self._factors, rest, -1)
                found[1:], _, _ = lapack.dormqr("L", "T", self._reflections, self._factors, rest, int(room[0]))
        return torch.from_numpy(found)

    def solve(self, ridge: float, turned: Tensor) -> Tensor | None:
        """Return (T + ridge I)^-1 B of B [n, r], float64; None where rounding leaves no positive definite matrix."""
        from scipy.linalg import lapack

        if not turned.numel():
            return turned
        with counted_as(products=5 * turned.numel()):
            _, _, found, info = lapack.dptsv(self.diagonal + ridge, self.beside, turned.numpy())
        return None if info else torch.from_numpy(found)
