"""What the official code of each method does, in the same steps and precision; only what is timed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def tip_adapter_hits(
    keys: Tensor, columns: Tensor, x: Tensor, target: Tensor, clip: Tensor, alphas: list[float], betas: list[float]
) -> list[int]:
    """Return the right answers of each beta and alpha; each makes its affinities and a product with one-hot labels."""
    values, affinity = F.one_hot(columns).float(), x @ keys.T
    found = []
    for beta in betas:
        for alpha in alphas:
            cached = (-(beta - beta * affinity)).exp() @ values
            found.append(int(((clip + alpha * cached).argmax(1) == target).sum()))
    return found


def gda(x: Tensor, columns: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return weights [c, d] and biases [c]: one loop over classes, and a pseudo-inverse of the shrunk covariance."""
    means, centred = [], []
    for c in range(n_classes):
        rows = x[columns == c]
        means.append(rows.mean(0))
        centred.append(rows - means[-1])
    mu, gaps = torch.stack(means), torch.cat(centred)
    d = x.shape[1]
    cov = torch.cov(gaps.T)
    inverse = d * torch.linalg.pinv((len(gaps) - 1) * cov + cov.trace() * torch.eye(d), hermitian=True)
    weights = mu @ inverse
    return weights, -torch.log(torch.tensor(float(n_classes))) - (weights * mu).sum(1) / 2


def ranpac(h: Tensor, columns: Tensor, n_classes: int, penalties: list[float]) -> Tensor:
    """Return the head [M, c]: a solve for each penalty on the first four fifths, then one on all, in float32."""
    y, eye = F.one_hot(columns, n_classes).float(), torch.eye(h.shape[1])
    cut = int(0.8 * len(h))
    gram, q = h[:cut].T @ h[:cut], h[:cut].T @ y[:cut]
    errors = [F.mse_loss(h[cut:] @ torch.linalg.solve(gram + p * eye, q), y[cut:]) for p in penalties]
    best = penalties[int(torch.stack(errors).argmin())]
    return torch.linalg.solve(h.T @ h + best * eye, h.T @ y)


def fecam(x: Tensor, columns: Tensor, queries: Tensor, n_classes: int) -> Tensor:
    """Return minus the distances [q, c]: each class's covariance shrunk twice, normalised and inverted whole."""
    d, scores = x.shape[1], []
    eye = torch.eye(d)
    for c in range(n_classes):
        rows = x[columns == c]
        cov = torch.cov(rows.T)
        for _ in range(2):
            off = (cov.sum() - cov.trace()) / (d * d - d)
            cov = cov + cov.trace() / d * eye + off * (1 - eye)
        sd = cov.diagonal().sqrt()
        gap = queries - F.normalize(rows.mean(0), dim=0)
        scores.append(-((gap @ torch.linalg.pinv(cov / (sd.unsqueeze(1) * sd))) * gap).sum(1))
    return torch.stack(scores, 1)


def herd(x: Tensor, count: int) -> Tensor:
    """Return the rows chosen: in each step all rows are compared with the mean, in float64."""
    x = x.double()
    mean, total, left = x.mean(0), torch.zeros(x.shape[1], dtype=torch.float64), list(range(len(x)))
    chosen: list[int] = []
    for step in range(1, count + 1):
        gaps = (mean - (x[left] + total) / step).square().sum(1).sqrt()
        best = left.pop(int(gaps.argmin()))
        chosen.append(best)
        total = total + x[best]
    return torch.tensor(chosen)
