from collections.abc import Sequence

import pytest
import torch

from bench.functional import cache_votes
from bench.functional.cache_votes import Grid, cached_votes, class_votes_of
from bench.functional.classwise import normalise
from bench.utils.random import Stream
from tests.speed.allocated import peak_bytes

C, N, Q, D = 6, 90, 40, 16


def draw(n: int, purpose: str) -> torch.Tensor:
    return normalise(torch.from_numpy(Stream(0).child(purpose).numpy().standard_normal((n, D))).float())


KEYS, X = draw(N, "keys"), draw(Q, "queries")
COLUMNS = torch.from_numpy(Stream(0).child("columns").numpy().integers(C - 1, size=N))
TARGET = torch.arange(Q) % C


def naive(beta: float) -> torch.Tensor:
    """Return the votes by their definition, [q, c]."""
    labels = torch.nn.functional.one_hot(COLUMNS, C).double()
    return torch.exp(-beta * (1 - X.double() @ KEYS.double().T)) @ labels


@pytest.fixture(params=[None, 64], ids=["whole", "blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(cache_votes, "_BLOCK", request.param)
        monkeypatch.setattr(cache_votes, "_QUERIES", 7)


@pytest.mark.usefixtures("blocks")
def test_votes_are_their_definition() -> None:
    for beta in (0.5, 12.0):
        for found in (class_votes_of(KEYS @ X.T, COLUMNS, C, beta).T, cached_votes(KEYS, COLUMNS, C, X, beta)):
            torch.testing.assert_close(found.double(), naive(beta), rtol=1e-5, atol=1e-9)
    assert cached_votes(KEYS[:0], COLUMNS[:0], C, X, 1.0).tolist() == [[0.0] * C] * Q


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("exact", [True, False], ids=["exponentials", "products"])
def test_hits_are_those_of_a_loop_over_the_grid(texts: bool, exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact:
        monkeypatch.setattr(cache_votes, "_EXACT", 0)
    zero_shot = 2 * draw(Q, "scores")[:, :C] if texts else None
    alphas, betas = [0.1, 0.5, 3.0], [0.1 + 1.5 * i for i in range(11)]
    expected = []
    for beta in betas:
        for alpha in alphas:
            scores = alpha * naive(beta) + (0 if zero_shot is None else zero_shot.double())
            expected.append(int((scores.argmax(1) == TARGET).sum()))
    assert len(set(expected)) > 2
    assert Grid(KEYS, COLUMNS, torch.arange(N), C, X, TARGET, zero_shot).hits(alphas, betas) == expected


@pytest.mark.parametrize(("cone", "stride"), [(3.0, 8), (0.0, 2)])
@pytest.mark.parametrize("texts", [True, False])
def test_votes_between_those_that_are_counted_are_those_of_all(
    cone: float, stride: int, texts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors in a cone, as those of encoders are, have cosines above 0, and anywhere else down to -1."""
    monkeypatch.setattr(cache_votes, "_EXACT", 0)
    counted = []
    plan = cache_votes._counted_at

    def noted(betas: Sequence[float], least: float | None) -> cache_votes._Counted:
        counted.append(plan(betas, least))
        return counted[-1]

    monkeypatch.setattr(cache_votes, "_counted_at", noted)
    keys, x = (normalise(part + cone * normalise(torch.ones(1, D))) for part in (KEYS, X))
    rows = torch.arange(0, N, 2)
    betas = [0.1 + 0.1495 * i for i in range(200)]
    zero_shot = 2 * draw(Q, "scores")[:, :C] if texts else None
    labels = torch.nn.functional.one_hot(COLUMNS[rows], C).double()
    gaps = 1 - x.double() @ keys[rows].double().T
    expected = []
    for beta in betas:
        scores = 0.7 * torch.exp(-beta * gaps) @ labels + (0 if zero_shot is None else zero_shot.double())
        expected.append(int((scores.argmax(1) == TARGET).sum()))
    grid = Grid(keys, COLUMNS, rows, C, x, TARGET, zero_shot)
    assert grid.hits([0.7], betas) == expected
    assert counted[0].stride == stride
    votes = grid._votes(rows[COLUMNS[rows].argsort(stable=True)], x, counted[0].betas)
    for beta, found in zip(betas, counted[0].between(votes), strict=True):
        torch.testing.assert_close(found.T.double(), torch.exp(-beta * gaps) @ labels, rtol=2e-5, atol=1e-30)


def test_of_equal_scores_the_first_class_counts() -> None:
    """Two classes hold the same images, so that each query has the same score in both."""
    keys, columns = torch.cat([KEYS, KEYS]), torch.cat([torch.ones(N), torch.full((N,), 3)]).long()
    for target, hits in ((1, Q), (3, 0), (0, 0)):
        assert Grid(keys, columns, torch.arange(len(keys)), C, X, torch.full((Q,), target), None).hits(
            [1.0], [2.0]
        ) == [hits]


def test_a_large_cache_needs_no_matrix_of_all_pairs() -> None:
    keys, x = draw(20_000, "many"), draw(2000, "asked")
    every = torch.arange(len(keys))
    columns, target = every % 20, torch.zeros(2000, dtype=torch.int64)
    for run in (
        lambda: cached_votes(keys, columns, 20, x, 3.0),
        lambda: Grid(keys, columns, every, 20, x, target, None).hits([1.0], [1.0, 2.0]),
    ):
        peak = peak_bytes(run, keys, columns, x, target)[1]
        assert 1 << 20 < peak < 8 << 20, f"{peak >> 20} MiB, where all pairs are 153"
