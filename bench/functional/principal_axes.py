"""Centred rows in their principal axes: held, or where they are many, read block by block of the rows they come from.

Rows x - mean = A z, with the axes A [d, r] orthonormal. Logits of weights V in these axes are z V = (x - mean)(A V),
and slopes z'q = A'((x - mean)'q): what meets many rows are the rows themselves, and the axes meet the weights alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.functional.stored_rows import ManyRows
from bench.functional.symmetric import add_gram, mirror

_HELD = 1 << 24
"""Numbers of centred rows that are held: 128 MiB in float64."""
_READ = 1 << 12
"""Rows that are read at a time for their mean and their products."""


@dataclass(frozen=True, eq=False)
class PrincipalRows:
    """Rows z [n, r].

    Attributes
    ----------
    rows : Tensor [n, r] or ManyRows [n, d]
        z themselves, or what they are made of.
    mean : float64 Tensor [d]
    axes : float64 Tensor [d, r]
    turned : bool
        Whether ``rows`` are z.
    dtype : torch.dtype
        In which they are given.
    """

    rows: ManyRows
    mean: Tensor
    axes: Tensor
    turned: bool
    dtype: torch.dtype

    @staticmethod
    def of(x: ManyRows, weights: Tensor | None, dtype: torch.dtype) -> PrincipalRows:
        """Return rows [n, d] centred and turned; with weights [n], their mean is that by these."""
        n, d = x.shape
        if isinstance(x, Tensor) and (n * d <= _HELD or n < d):
            wide = x.double()
            # Centred by the mean that counts, weights that are next to nothing leave the biases where they are
            # without any.
            mean = wide.mean(0) if weights is None else wide.T.mv(weights.double()) / weights.double().sum()
            wide = wide - mean
            if n < d:
                span, triangle = torch.linalg.qr(wide.T)
                axes = span @ torch.linalg.eigh(triangle @ triangle.T).eigenvectors
            else:
                axes = torch.linalg.eigh(wide.T @ wide).eigenvectors
            return PrincipalRows((wide @ axes).to(dtype), mean, axes, True, dtype)
        counts = torch.ones(n, dtype=torch.float64, device=x.device) if weights is None else weights.double()
        sums = torch.zeros(d, dtype=torch.float64, device=x.device)
        gram = sums.new_zeros(d, d)
        for start in range(0, n, _READ):
            here = slice(start, start + _READ)
            sums += x[here].double().T.mv(counts[here])
        mean = sums / counts.sum()
        for start in range(0, n, _READ):
            add_gram(gram, x[start : start + _READ].double() - mean)
        return PrincipalRows(x, mean, torch.linalg.eigh(mirror(gram)).eigenvectors, False, dtype)

    @staticmethod
    def held(z: Tensor) -> PrincipalRows:
        """Return rows [n, r] that are centred and turned already."""
        r = z.shape[1]
        mean = torch.zeros(r, dtype=torch.float64, device=z.device)
        return PrincipalRows(z, mean, torch.eye(r, dtype=torch.float64, device=z.device), True, z.dtype)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, dtype: torch.dtype) -> PrincipalRows:
        """Return the same rows in another precision."""
        if dtype == self.dtype:
            return self
        rows = self.rows.to(dtype) if isinstance(self.rows, Tensor) and self.turned else self.rows
        return PrincipalRows(rows, self.mean, self.axes, self.turned, dtype)

    def new_zeros(self, n_classes: int) -> Tensor:
        """Return weights over biases that are zero, [r + 1, c]."""
        return torch.zeros(self.axes.shape[1] + 1, n_classes, dtype=self.dtype, device=self.rows.device)

    def blocks(self, step: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield ``step`` rows at a time: z, or centred rows in their own axes, whose weights are ``met(weights)``."""
        for start in range(0, len(self), step):
            here = slice(start, min(len(self), start + step))
            rows = self.rows[here]
            yield here, rows if self.turned else (rows.double() - self.mean).to(self.dtype)

    def met(self, weights: Tensor) -> Tensor:
        """Return weights [r, c] as they meet the rows of a block."""
        return weights if self.turned else self.axes.to(self.dtype) @ weights

    def turn_(self, products: Tensor) -> None:
        """Make z'q [r, c] of the products of the blocks' rows with the same numbers, in place."""
        if not self.turned:
            products.copy_(self.axes.to(self.dtype).T @ products)

    def squares(self, block: Tensor) -> Tensor:
        """Return z * z of a block's rows."""
        return (block if self.turned else block @ self.axes.to(self.dtype)).square()
