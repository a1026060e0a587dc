"""Ridge regression on wide random features, from statistics that can be added to and taken from exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

_RANK = 1e-9
"""Eigenvalues below this share of the largest are rounding."""

_SAME = 1e-10
"""Rows whose squared distance is below this share of their squared length are one row computed twice in float32."""


@dataclass(frozen=True, eq=False)
class Normal:
    """The normal equations G = H'H, Q = H'Y of rows H [n, M] and targets Y [n, c], in a factored form.

    R'R = G and R'Z = Q. While fewer than M rows have been seen R is shorter than G is, and

        (R'R + a I)^-1 R'Z = R' (R R' + a I)^-1 Z,

    which costs r^3 and not M^3. With more rows than M, R is the triangular factor of H.

    Attributes
    ----------
    factor : Tensor [r, M]
        R, at most M rows.
    kernel : float64 Tensor [r, r]
        R R'.
    target : float64 Tensor [r, c]
        Z.
    """

    stored_as: ClassVar = "statistics"

    factor: Tensor
    kernel: Tensor
    target: Tensor

    @staticmethod
    def of(h: Tensor, y: Tensor) -> Normal:
        """Return the statistics of rows [n, M] and targets [n, c]."""
        wide = h.double()
        if len(wide) > wide.shape[1]:
            return Normal._triangular(wide, y.double())
        return Normal(h, wide @ wide.T, y.double())

    def plus(self, h: Tensor, y: Tensor, kernel: Tensor | None = None) -> Normal:
        """Return the statistics with further rows; ``y`` has the old columns first, ``kernel`` is h h' if known."""
        old, new = self.factor.double(), h.double()
        padded = torch.cat([self.target, self.target.new_zeros(len(old), y.shape[1] - self.target.shape[1])], 1)
        targets = torch.cat([padded, y.double()])
        if len(targets) > old.shape[1]:
            return Normal._triangular(torch.cat([old, new]), targets)
        cross, own = old @ new.T, new @ new.T if kernel is None else kernel
        kernel = torch.cat([torch.cat([self.kernel, cross], 1), torch.cat([cross.T, own], 1)])
        return Normal(torch.cat([self.factor, h]), kernel, targets)

    @staticmethod
    def _triangular(h: Tensor, y: Tensor) -> Normal:
        """Return the statistics of more rows than M, both float64."""
        q, r = torch.linalg.qr(h)
        return Normal(r, r @ r.T, q.T @ y)

    def minus(self, h: Tensor, y: Tensor) -> Normal:
        """Return the statistics without rows that are among those seen.

        While R still holds the rows as they were seen, they are left out of it, which is exact however alike rows are.
        Elsewhere they lie in the span of R, h = A R. So G - h'h = R' (I - A'A) R, and with I - A'A = V E V' the new
        factor is E^(1/2) V' R; Q - h'y = R' (Z - A'y), so the new target is E^(-1/2) V' (Z - A'y).
        """
        places = self._places(h.double(), y.double())
        if places is not None:
            keep = torch.ones(len(self.factor), dtype=torch.bool, device=self.factor.device)
            keep[places] = False
            return Normal(self.factor[keep], self.kernel[keep][:, keep], self.target[keep])
        wide = self.factor.double()
        a = h.double() @ wide.T @ torch.linalg.pinv(self.kernel, rtol=_RANK, hermitian=True)
        e, v = torch.linalg.eigh(torch.eye(len(wide), dtype=wide.dtype, device=wide.device) - a.T @ a)
        keep = e > _RANK
        root, v = e[keep].sqrt().unsqueeze(1), v[:, keep]
        factor = root * (v.T @ wide)
        return Normal(factor, factor @ factor.T, v.T @ (self.target - a.T @ y.double()) / root)

    def _places(self, h: Tensor, y: Tensor) -> Tensor | None:
        """Return which rows of R the given ones are, each another, int64 [n]; None where one is not among them."""
        lengths = h.square().sum(1)
        gaps = lengths.unsqueeze(1) + self.kernel.diagonal() - 2 * h @ self.factor.double().T
        # Each place is taken once, so one row is looked at after the other, by the processor.
        gaps, lengths = torch.where((y @ self.target.T) == 1, gaps, torch.inf).cpu(), lengths.cpu()
        places: list[int] = []
        for gap, length in zip(gaps, lengths, strict=True):
            gap[places] = torch.inf
            place = int(gap.argmin())
            if not float(gap[place]) <= _SAME * float(length):
                return None
            places.append(place)
        return torch.tensor(places, dtype=torch.int64, device=h.device)

    def weights(self, penalty: float) -> Tensor:
        """Return W = (G + penalty I)^-1 Q, float32 [M, c]."""
        eye = torch.eye(len(self.kernel), dtype=self.kernel.dtype, device=self.kernel.device)
        inner = torch.cholesky_solve(self.target, torch.linalg.cholesky(self.kernel + penalty * eye))
        return (self.factor.to(inner.dtype).T @ inner).float()


def held_out_errors(kernel: Tensor, y: Tensor, test: Tensor, penalties: tuple[float, ...]) -> list[float]:
    """Return the mean squared error on held-out rows for each penalty, fitted on the other rows.

    Parameters
    ----------
    kernel : float64 Tensor [n, n]
        H H'.
    y : Tensor [n, c]
    test : bool Tensor [n]
        The rows held out. One eigendecomposition of the others' kernel serves all penalties.
    """
    y = y.double()
    values, vectors = torch.linalg.eigh(kernel[~test][:, ~test])
    cross, inner = kernel[test][:, ~test] @ vectors, vectors.T @ y[~test]
    values = values.clamp(min=0).unsqueeze(1)
    wanted = y[test]
    errors = [((cross @ (inner / (values + penalty)) - wanted) ** 2).mean() for penalty in penalties]
    return [float(error) for error in torch.stack(errors).tolist()]
