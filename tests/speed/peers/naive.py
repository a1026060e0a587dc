"""What the official code of each method does, in the same steps and precision; only what is timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
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


def rank_votes(columns: Tensor, weights: Tensor) -> Tensor:
    """Return the answers [q]: neighbours are scanned one by one, and the class that first has the most wins."""
    found = []
    for row, shares in zip(columns.tolist(), weights.tolist(), strict=True):
        votes: dict[int, float] = {}
        best, winner = 0.0, row[0]
        for column, share in zip(row, shares, strict=True):
            votes[column] = votes.get(column, 0.0) + share
            if votes[column] > best:
                best, winner = votes[column], column
        found.append(winner)
    return torch.tensor(found)


class ResidualAttention(nn.Module):
    """CLIP's residual attention block with norms of their own for query, key and value, as MML's code has it."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.query_norm, self.key_norm, self.value_norm, self.mlp_norm = (nn.LayerNorm(d) for _ in range(4))
        self.attention = nn.MultiheadAttention(d, 1)
        self.fc, self.proj = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, f: Tensor, near: Tensor) -> Tensor:
        """Return features [b, d] with what their neighbours [k, b, d] know."""
        query, key, value = self.query_norm(f).unsqueeze(0), self.key_norm(near), self.value_norm(near)
        g: Tensor = f + self.attention(query, key, value, need_weights=False)[0][0]
        inner = self.fc(self.mlp_norm(g))
        found: Tensor = f + g + self.proj(inner * torch.sigmoid(1.702 * inner))
        return found


@dataclass(frozen=True)
class Branch:
    """One modality: a block, the items it retrieves from [n, d] at the norm of the queries, and prototypes [c, d]."""

    block: ResidualAttention
    items: Tensor
    prototypes: Tensor

    def cosines(self, f: Tensor, k: int) -> Tensor:
        """Return cosines to the prototypes [b, c]; neighbours are searched for each time."""
        places = (F.normalize(f, dim=1) @ F.normalize(self.items, dim=1).T).topk(k).indices
        near = self.items[places.reshape(-1)].view(len(f), k, -1).transpose(0, 1)
        return F.normalize(self.block(f, near), dim=1) @ self.prototypes.T


def mml_steps(
    branches: Sequence[Branch], f: Tensor, target: Tensor, queries: Tensor, k: int, steps: int, rates: tuple[float, ...]
) -> Tensor:
    """Return the scores of queries [q, c] after steps of Adam on one batch, which retrieves anew in each step.

    ``rates`` are the learning rate, the weight decay, Adam's epsilon and the scale of the logits.
    """
    lr, decay, eps, tau = rates
    leaves = [w for branch in branches for w in branch.block.parameters()]
    adam = torch.optim.Adam(leaves, lr=lr, eps=eps, weight_decay=decay)
    for _ in range(steps):
        loss = F.cross_entropy(tau * torch.stack([branch.cosines(f, k) for branch in branches]).sum(0), target)
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        return tau * torch.stack([branch.cosines(queries, k) for branch in branches]).sum(0)
