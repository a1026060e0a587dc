"""Gaussian classifiers: running moments, scatter, and the linear discriminants that follow from them.

Everything is summed in float64, so that a state that was extended or has forgotten items agrees with one built at
once to far below the precision of a float32 score.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.cost.meter import counted_as
from bench.cost.shared import shared
from bench.functional.classwise import class_counts, class_sums, rows_of_classes
from bench.functional.logistic_regression import Linear
from bench.functional.symmetric import add_gram, kernel, mirror, solve_shifted
from bench.utils.random import Stream

_ROWS = 1 << 12
"""Rows that are turned to float64 at a time: 16 MiB at d = 512."""


@dataclass(frozen=True, eq=False)
class Moments:
    """What class means and a shared covariance need of the rows seen so far; additive in the rows.

    Attributes
    ----------
    counts : int64 Tensor [c]
    sums : float64 Tensor [c, d]
    gram : float64 Tensor [d, d]
        Sum of x x' over all rows.
    """

    stored_as: ClassVar = "statistics"

    counts: Tensor
    sums: Tensor
    gram: Tensor

    @staticmethod
    def of(
        x: Tensor, columns: Tensor, n_classes: int, *, embed: Callable[[Tensor], Tensor] | None = None, width: int = 0
    ) -> Moments:
        """Return the moments of rows [n, d] whose classes are ``columns`` [n], read a block at a time.

        Parameters
        ----------
        x : Tensor [n, d]
            May be memory-mapped.
        embed : callable, optional
            What is made of a block of rows before it is added up.
        width : int
            The dimensions of what ``embed`` makes; d unless given.
        """
        d = width or x.shape[1]
        gram = torch.zeros(d, d, dtype=torch.float64, device=x.device)
        sums = gram.new_zeros(n_classes, d)
        for rows, at in zip(x.split(_ROWS), columns.split(_ROWS), strict=True):
            block = rows if embed is None else embed(rows)
            with counted_as(products=2 * block.numel() * d):
                add_gram(gram, block)
            sums += class_sums(block, at, n_classes)
        return Moments(class_counts(columns, n_classes), sums, mirror(gram))

    @property
    def n(self) -> int:
        """The number of rows."""
        return int(self.counts.sum())

    def plus(self, new: Moments) -> Moments:
        """Return the moments of the rows of both; the classes of this one are the first of ``new``."""
        more = len(new.counts) - len(self.counts)
        return Moments(
            torch.cat([self.counts, self.counts.new_zeros(more)]) + new.counts,
            torch.cat([self.sums, self.sums.new_zeros(more, self.sums.shape[1])]) + new.sums,
            self.gram + new.gram,
        )

    def minus(self, gone: Moments) -> Moments:
        """Return the moments without rows that are among those summed; both have the same classes."""
        counts = self.counts - gone.counts
        left = (counts > 0).unsqueeze(1)
        return Moments(counts, torch.where(left, self.sums - gone.sums, 0.0), self.gram - gone.gram)

    def means(self) -> Tensor:
        """Return class means, float64 [c, d]; zeros for a class without rows."""
        return self.sums / self.counts.clamp(min=1).unsqueeze(1)

    def scatter(self) -> Tensor:
        """Return the within-class scatter, float64 [d, d].

        sum_i (x_i - mu_y)(x_i - mu_y)' = sum_i x_i x_i' - sum_c n_c mu_c mu_c'.
        """
        return self.gram - self.means().T @ self.sums


def discriminant(means: Tensor, projected: Tensor) -> Linear:
    """Return the linear discriminant of Gaussians with equal covariance and equal priors, in float64.

    With a small ridge its scores run to thousands, where float32 is coarser than the 1e-4 to which a state that has
    forgotten items must agree with one that never saw them; queries are scored in float64 too.

    log p(x | c) = x' P mu_c - mu_c' P mu_c / 2 + what no class depends on, with P the precision.

    Parameters
    ----------
    means : float64 Tensor [c, d]
    projected : float64 Tensor [c, d]
        P mu_c.
    """
    return Linear(projected, -(projected * means).sum(1) / 2)


def solve(matrix: Tensor, rows: Tensor) -> Tensor:
    """Return rows M^-1 for a symmetric positive definite M [d, d] and rows [c, d]."""
    return torch.cholesky_solve(rows.T, torch.linalg.cholesky(matrix)).T


def solve_low_rank(factor: Tensor, ridge: float, rows: Tensor) -> Tensor:
    """Return rows (F'F + ridge I)^-1 for a factor F [r, D] and rows [c, D], by an r x r matrix; for r below D.

    (F'F + a I)^-1 = (I - F' (F F' + a I)^-1 F) / a  (Woodbury).
    """
    inner = solve_shifted(kernel(factor), ridge, (rows @ factor.T).T)
    return (rows - inner.T @ factor) / ridge


@dataclass(frozen=True, eq=False)
class Scatter:
    """Class means, and each row's deviation from its class mean as a factor of the scatter; for wide features.

    Attributes
    ----------
    counts : int64 Tensor [c]
    means : float64 Tensor [c, D]
    factor : float64 Tensor [r, D]
        The rows of class c, F_c, satisfy F_c' F_c = sum over the class of (x - mu)(x - mu)'.
    columns : int64 Tensor [r]
        The class of each row of the factor.
    """

    stored_as: ClassVar = "statistics"

    counts: Tensor
    means: Tensor
    factor: Tensor
    columns: Tensor

    @staticmethod
    def of(x: Tensor, columns: Tensor, n_classes: int) -> Scatter:
        """Return the statistics of rows [n, D] whose classes are ``columns`` [n]."""
        counts = class_counts(columns, n_classes)
        means = class_sums(x, columns, n_classes) / counts.clamp(min=1).unsqueeze(1)
        return Scatter(counts, means, x.double() - means[columns], columns)

    @staticmethod
    def by_class(x: Tensor, columns: Tensor, n_classes: int, *, embed: Callable[[Tensor], Tensor]) -> Scatter:
        """Return the statistics of ``embed`` of rows, at most D rows a class, made some classes at a time.

        Parameters
        ----------
        x : Tensor [n, d]
            May be memory-mapped.
        columns : int64 Tensor [n]
        n_classes : int
        embed : callable
            What is made of some of the rows.
        """
        if len(x) <= _ROWS:
            return Scatter.of(embed(x), columns, n_classes).reduced()
        parts: list[Scatter] = []
        waiting: list[Tensor] = []
        for rows in [*rows_of_classes(columns, n_classes), None]:
            if waiting and (rows is None or sum(map(len, waiting)) + len(rows) > _ROWS):
                at = torch.cat(waiting)
                parts.append(Scatter.of(embed(x[at]), columns[at], n_classes).reduced())
                waiting = []
            if rows is not None:
                waiting.append(rows)
        counts, means = class_counts(columns, n_classes), parts[0].means
        for part in parts[1:]:
            # Each class is in one part alone, and zero in the others.
            means += part.means
        factor = torch.cat([part.factor for part in parts])
        return Scatter(counts, means, factor, torch.cat([part.columns for part in parts]))

    @property
    def n(self) -> int:
        """The number of rows that were seen."""
        return int(self.counts.sum())

    def plus(self, new: Scatter) -> Scatter:
        """Return the statistics of the rows of both; the classes of this one are the first of ``new``.

        For a class that both have, the two scatters add up to the scatter about the common mean less
        (a b / (a + b)) (mu - nu)(mu - nu)', with a and b rows of means mu and nu; that is one more row of the factor.
        """
        old = len(self.counts)
        a, b = self.counts, new.counts[:old]
        both = ((a > 0) & (b > 0)).nonzero().squeeze(1)
        weight = (a * b)[both].double() / (a + b)[both]
        shift = weight.sqrt().unsqueeze(1) * (self.means[both] - new.means[both])
        means = new.means.clone()
        total = (a + b).clamp(min=1).unsqueeze(1)
        means[:old] = (self.means * a.unsqueeze(1) + new.means[:old] * b.unsqueeze(1)) / total
        counts = new.counts.clone()
        counts[:old] += a
        return Scatter(
            counts,
            means,
            torch.cat([self.factor, new.factor, shift]),
            torch.cat([self.columns, new.columns, both]),
        )

    def reduced(self) -> Scatter:
        """Return the same statistics with at most D rows a class: F = U R, and R'R = F'F."""
        d = self.factor.shape[1]
        classes = rows_of_classes(self.columns, len(self.counts))
        if all(len(rows) <= d for rows in classes):
            return self
        parts, columns = [], []
        for column, at in enumerate(classes):
            if not len(at):
                continue
            rows = self.factor[at]
            parts.append(torch.linalg.qr(rows, mode="r").R if len(rows) > d else rows)
            columns.append(self.columns.new_full((len(parts[-1]),), column))
        return Scatter(self.counts, self.means, torch.cat(parts), torch.cat(columns))

    def moments(self) -> Moments:
        """Return the moments of the same rows, for a shared covariance of more rows than D."""
        gram = self.means.new_zeros(self.means.shape[1], self.means.shape[1])
        sums = self.means * self.counts.unsqueeze(1)
        add_gram(gram, self.factor)
        add_gram(gram, self.means * self.counts.sqrt().unsqueeze(1))
        return Moments(self.counts, sums, mirror(gram))


@dataclass(frozen=True, eq=False)
class Fourier:
    """Random Fourier features: frequencies [d, D] and phases [D]."""

    stored_as: ClassVar = "weights"

    frequencies: Tensor
    phases: Tensor

    @staticmethod
    def draw(d: int, width: int, gamma: float, device: torch.device, rng: Stream) -> Fourier:
        """Return the features of the kernel exp(-gamma |x - y|^2).

        Rahimi & Recht, Random Features for Large-Scale Kernel Machines, NeurIPS 2007: frequencies are normal with
        variance 2 gamma, phases uniform in [0, 2 pi).
        """

        def draw() -> tuple[Tensor, Tensor]:
            frequencies = torch.randn(d, width, generator=rng.child("frequencies").torch()) * math.sqrt(2 * gamma)
            phases = torch.rand(width, generator=rng.child("phases").torch()) * (2 * math.pi)
            return frequencies.to(device), phases.to(device)

        return Fourier(*shared(("fourier", d, width, gamma, device, rng.key()), draw))

    def __call__(self, x: Tensor) -> Tensor:
        """Return sqrt(2 / D) cos(x w + b), [n, D]."""
        return fourier_features(x, self.frequencies, self.phases)


def fourier_features(x: Tensor, frequencies: Tensor, phases: Tensor) -> Tensor:
    """Return sqrt(2 / D) cos(x w + b) of rows [n, d] for frequencies w [d, D] and phases b [D], [n, D]."""
    return (x @ frequencies).add_(phases).cos_().mul_(math.sqrt(2 / len(phases)))
