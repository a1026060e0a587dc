"""Scores of items by heads that were fitted without them, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.functional.classwise import class_counts, class_sums
from bench.functional.gaussian import Moments

_NUMBERS = 1 << 22
_TINY = 1e-30


def means_left_out(x: Tensor, columns: Tensor, n_classes: int) -> Tensor:
    """Return the cosine of each item to each class mean, its own made without it, float64 [n, c].

    Only the sum of its class changes: (x.S - 1) / |S - x|. Minus infinity for a class without other items.

    Parameters
    ----------
    x : Tensor [n, d]
        Of unit norm.
    columns : int64 Tensor [n]
    """
    rows, own = x.double(), columns.unsqueeze(1)
    sums, counts = class_sums(x, columns, n_classes, unit=True), class_counts(columns, n_classes)
    products = rows @ sums.T
    scores = (products / sums.norm(dim=1).clamp(min=_TINY)).masked_fill(counts == 0, -torch.inf)
    left = sums[columns] - rows
    without = (rows * left).sum(1) / left.norm(dim=1).clamp(min=_TINY)
    found: Tensor = scores.scatter(1, own, without.masked_fill(counts[columns] < 2, -torch.inf).unsqueeze(1))
    return found


def ridge_left_out(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    """Return what ridge regression of targets y [n, c] on rows x [n, d] gives each row without it, float64 [n, c].

    With f = H y and the hat matrix H = X (X'X + penalty I)^-1 X', f_-i(x_i) = (f_i - h_i y_i) / (1 - h_i).
    """
    return RidgeWithout(x, y, penalty).left_out(y)


class RidgeWithout:
    """Ridge regression of targets [n, c] on rows [n, d], asked after each single row was left out.

    f_-i(q) = f(q) - k_i(q) (y_i - f(x_i)) / (1 - h_i), with k(q) = (X X' + penalty I)^-1 X q and h_i = k_i(x_i).
    """

    def __init__(self, x: Tensor, y: Tensor, penalty: float) -> None:
        self.x = x.double()
        kernel = self.x @ self.x.T
        eye = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
        # I - H = penalty (X X' + penalty I)^-1, whose diagonal is exact where h is near 1.
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel + penalty * eye))
        dual = self.inverse @ y.double()
        self.dual = dual
        # (y_i - f(x_i)) / (1 - h_i) = dual_i / inverse_ii.
        self.step = dual / self.inverse.diagonal().unsqueeze(1)

    def __call__(self, queries: Tensor) -> Tensor:
        """Return what queries [q, d] get without each row, float64 [q, n, c]."""
        cross = queries.double() @ self.x.T
        return (cross @ self.dual).unsqueeze(1) - (cross @ self.inverse).unsqueeze(2) * self.step

    def left_out(self, y: Tensor) -> Tensor:
        """Return what each row gets without itself, float64 [n, c]: y - dual / inverse_ii."""
        return y.double() - self.step


def covariance_left_out(x: Tensor, columns: Tensor, n_classes: int, shrinkage: float) -> Tensor:
    """Return the discriminants of each item, with means and the shared covariance made without it, float64 [n, c].

    The scatter loses n_c / (n_c - 1) (x - mu)(x - mu)', and the covariance is over one item fewer; shrinkage is held.
    See :func:`covariance_without`.
    """
    head = _Covariance(Moments.of(x, columns, n_classes), shrinkage)
    parts = [
        head.without(rows, own, rows).diagonal(dim1=1, dim2=2).T
        for rows, own in _blocks(x.double(), columns, n_classes)
    ]
    return torch.cat(parts) if parts else x.new_zeros(0, n_classes).double()


def covariance_without(moments: Moments, shrinkage: float, x: Tensor, columns: Tensor, queries: Tensor) -> Tensor:
    """Return the discriminants of queries after each of some items was left out, float64 [q, n, c].

    Parameters
    ----------
    moments : Moments
        Of all items.
    x : Tensor [n, d]
        The items.
    columns : int64 Tensor [n]
    queries : Tensor [q, d]
    """
    return _Covariance(moments, shrinkage).without(x.double(), columns, queries.double()).permute(1, 2, 0)


def _blocks(x: Tensor, columns: Tensor, n_classes: int) -> list[tuple[Tensor, Tensor]]:
    step = max(1, int((_NUMBERS / max(1, n_classes)) ** 0.5))
    return list(zip(x.split(step), columns.split(step), strict=True))


class _Covariance:
    """The discriminant of a shared, shrunk covariance, from which single items are left out.

    M = (1 - e) S / (n - 1) + e I with S of all n items, and M_-i = M - g dd' with d = x - mu and
    g = (1 - e) / (n - 1) n_c / (n_c - 1): by Sherman and Morrison, M_-i^-1 = P + g aa' / (1 - g d'a), a = P d.
    """

    def __init__(self, moments: Moments, shrinkage: float) -> None:
        self.means, self.counts = moments.means(), moments.counts
        scatter = moments.scatter()
        eye = torch.eye(len(scatter), dtype=scatter.dtype, device=scatter.device)
        self.weight = (1 - shrinkage) / max(1, moments.n - 1)
        self.precision = torch.cholesky_inverse(torch.linalg.cholesky(self.weight * scatter + shrinkage * eye))

    def without(self, x: Tensor, columns: Tensor, queries: Tensor) -> Tensor:
        """Return discriminants, float64 [c, q, n]."""
        count = self.counts[columns].double()
        away = x - self.means[columns]
        alone = count < 2
        g = (self.weight * count / (count - 1).clamp(min=1)).masked_fill(alone, 0.0)
        a = away @ self.precision
        gain = g / (1 - g * (away * a).sum(1)).clamp(min=_TINY)
        projected = self.means @ self.precision
        along_query, along_mean = queries @ a.T, self.means @ a.T
        bias = (projected * self.means).sum(1)
        scores = (queries @ projected.T).T.unsqueeze(2) - bias.view(-1, 1, 1) / 2
        scores = scores + gain * (along_query * along_mean.unsqueeze(1) - along_mean.square().unsqueeze(1) / 2)
        # Of its own class the mean moves too: mu' = mu - d / (n_c - 1).
        moved = self.means[columns] - away / (count - 1).clamp(min=1).unsqueeze(1)
        ahead = moved @ self.precision
        along = (moved * a).sum(1)
        own = queries @ ahead.T - (ahead * moved).sum(1) / 2 + gain * (along_query * along - along.square() / 2)
        own = own.masked_fill(alone, -torch.inf)
        place = columns.view(1, 1, -1).expand(1, len(queries), -1)
        scores = scores.masked_fill((self.counts == 0).view(-1, 1, 1), -torch.inf)
        return scores.scatter(0, place, own.unsqueeze(0))
