"""Ridge regression on wide random features, from statistics that can be added to and taken from exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from bench.functional.classwise import class_sums
from bench.functional.symmetric import add_gram, kernel, mirror, products, solve_shifted
from bench.functional.tridiagonal import Tridiagonal

_SAME = 1e-10
"""Rows whose squared distance is below this share of their squared length are one row computed twice in float32."""

_COLUMNS = 1 << 10
"""Columns of the rows that are held in float64 at a time where weights follow from them."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The normal equations G = H'H, Q = H'Y of rows H [n, M] and targets Y [n, c], by the rows themselves.

    (H'H + a I)^-1 H'Y = H' (H H' + a I)^-1 Y, which costs n^3 and not M^3; for no more rows than M.

    Attributes
    ----------
    h : Tensor [n, M]
    kernel : float64 Tensor [n, n]
        H H'.
    target : float64 Tensor [n, c]
        Y.
    """

    stored_as: ClassVar = "statistics"

    h: Tensor
    kernel: Tensor
    target: Tensor

    @staticmethod
    def of(h: Tensor, columns: Tensor, n_classes: int) -> Rows:
        """Return the statistics of rows [n, M] whose classes are ``columns`` [n]."""
        return Rows(h, kernel(h), F.one_hot(columns, n_classes).double())

    def plus(self, new: Rows) -> Rows:
        """Return the statistics of the rows of both; the classes of this one are the first of ``new``."""
        if not len(self.h):
            return new
        padded = F.pad(self.target, (0, new.target.shape[1] - self.target.shape[1]))
        cross = products(self.h, new.h)
        whole = torch.cat([torch.cat([self.kernel, cross], 1), torch.cat([cross.T, new.kernel], 1)])
        return Rows(torch.cat([self.h, new.h]), whole, torch.cat([padded, new.target]))

    def summed(self) -> Sums:
        """Return the same statistics as sums, which any number of rows can be added to."""
        gram = self.kernel.new_zeros(self.h.shape[1], self.h.shape[1])
        add_gram(gram, self.h)
        return Sums(mirror(gram), self._transposed(self.target))

    def _transposed(self, right: Tensor) -> Tensor:
        """Return H' B of B [n, r], float64 [M, r]."""
        width = self.h.shape[1]
        found = right.new_empty(width, right.shape[1])
        for start in range(0, width, _COLUMNS):
            here = slice(start, start + _COLUMNS)
            found[here] = self.h[:, here].double().T @ right
        return found

    def minus(self, h: Tensor, columns: Tensor) -> Rows | Sums:
        """Return the statistics without rows that are among those seen, which is exact however alike rows are.

        Rows that are not found among those that are kept are taken from the sums.
        """
        places = self._places(h.double(), F.one_hot(columns, self.target.shape[1]).double())
        if places is None:
            return self.summed().minus(h, columns)
        keep = torch.ones(len(self.h), dtype=torch.bool, device=self.h.device)
        keep[places] = False
        return Rows(self.h[keep], self.kernel[keep][:, keep], self.target[keep])

    def _places(self, h: Tensor, y: Tensor) -> Tensor | None:
        """Return which rows of H the given ones are, each another, int64 [n]; None where one is not among them."""
        lengths = h.square().sum(1)
        gaps = lengths.unsqueeze(1) + self.kernel.diagonal() - 2 * products(h, self.h)
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
        return self._transposed(solve_shifted(self.kernel, penalty, self.target)).float()


@dataclass(frozen=True, eq=False)
class Sums:
    """The normal equations of more rows than M: G and Q themselves, additive in the rows.

    Attributes
    ----------
    gram : float64 Tensor [M, M]
    target : float64 Tensor [M, c]
    """

    stored_as: ClassVar = "statistics"

    gram: Tensor
    target: Tensor

    def plus(self, parts: Iterable[tuple[Tensor, Tensor]], n_classes: int) -> Sums:
        """Return the statistics with further rows, given a part at a time; the old classes are the first.

        Parameters
        ----------
        parts : iterable of Tensor [b, M] and int64 Tensor [b]
            Rows and their classes.
        """
        return Sums(self.gram.clone(), self.target).grown(parts, n_classes)

    def grown(self, parts: Iterable[tuple[Tensor, Tensor]], n_classes: int) -> Sums:
        """Return what :meth:`plus` does, in the place of this one's Gram matrix: it is M x M numbers."""
        target = F.pad(self.target, (0, n_classes - self.target.shape[1]))
        for h, columns in parts:
            add_gram(self.gram, h)
            target += class_sums(h, columns, n_classes).T
        return Sums(mirror(self.gram), target)

    def minus(self, h: Tensor, columns: Tensor) -> Sums:
        """Return the statistics without rows that are among those seen, exact but for rounding."""
        gone = torch.zeros_like(self.gram)
        add_gram(gone, h)
        return Sums(self.gram - mirror(gone), self.target - class_sums(h, columns, self.target.shape[1]).T)

    def weights(self, penalty: float) -> Tensor:
        """Return W = (G + penalty I)^-1 Q, float32 [M, c]."""
        return solve_shifted(self.gram, penalty, self.target).float()


def held_out_errors(
    h: Tensor, y: Tensor, test: Tensor, penalties: Sequence[float], *, known: Tensor | None = None
) -> list[float]:
    """Return the mean squared error on held-out rows for each penalty, fitted on the other rows.

    One tridiagonal form serves all penalties: that of the others' H H', or of their H'H where it is smaller. With
    H H' = Q T Q' predictions are h H' Q (T + a I)^-1 Q' Y, and with H'H = Q T Q' they are h Q (T + a I)^-1 Q' H' Y.
    Where rounding leaves T + a I indefinite, and on a GPU, eigenvalues and eigenvectors take their place.

    Parameters
    ----------
    h : Tensor [n, M]
    y : Tensor [n, c]
    test : bool Tensor [n]
        The rows held out.
    known : float64 Tensor [n, n], optional
        H H', where it is at hand.
    """
    y, fitted = y.double(), ~test
    if int(fitted.sum()) > h.shape[1]:
        wide = h[fitted].double()
        gram = wide.new_zeros(h.shape[1], h.shape[1])
        add_gram(gram, wide)
        cross, right = h[test].double(), wide.T @ y[fitted]
    else:
        whole = kernel(h) if known is None else known
        gram = whole[fitted][:, fitted]
        cross, right = whole[test][:, fitted], y[fitted]
    found = _by_tridiagonal(gram, cross, right, penalties) if gram.device.type == "cpu" and len(gram) else None
    answers = _by_eigenvectors(gram, cross, right, penalties) if found is None else found
    wanted = y[test]
    errors = [((answer - wanted) ** 2).mean() for answer in answers]
    return [float(error) for error in torch.stack(errors).tolist()]


def _by_tridiagonal(gram: Tensor, cross: Tensor, right: Tensor, penalties: Sequence[float]) -> list[Tensor] | None:
    """Return X (G + a I)^-1 R of X [t, m] and R [m, c] for each penalty a; None where one has no Cholesky factor."""
    form = Tridiagonal.of(gram)
    turned, right = form.turned(cross.T), form.turned(right)
    answers = []
    for penalty in penalties:
        solved = form.solve(penalty, right)
        if solved is None:
            return None
        answers.append(turned.T @ solved)
    return answers


def _by_eigenvectors(gram: Tensor, cross: Tensor, right: Tensor, penalties: Sequence[float]) -> list[Tensor]:
    """Return the same by eigenvalues, of which none is below zero."""
    values, vectors = torch.linalg.eigh(gram)
    values, cross, right = values.clamp(min=0).unsqueeze(1), cross @ vectors, vectors.T @ right
    return [cross @ (right / (values + penalty)) for penalty in penalties]
