import pytest
import torch

from bench.functional import symmetric
from bench.functional.symmetric import add_gram, kernel, mirror, products, solve_shifted
from bench.utils.random import Stream
from tests.speed.allocated import peak_bytes


def draw(*shape: int) -> torch.Tensor:
    return torch.from_numpy(Stream(0).child("rows", *shape).numpy().standard_normal(shape))


@pytest.fixture(params=[None, 5], ids=["whole", "parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        for name in ("_SIDE", "_ROWS", "WHOLE"):
            monkeypatch.setattr(symmetric, name, request.param)


@pytest.mark.usefixtures("parts")
def test_products_are_those_of_whole_matrices() -> None:
    a, b = draw(13, 17), draw(11, 17)
    gram = torch.zeros(17, 17, dtype=torch.float64)
    add_gram(gram, a.float())
    add_gram(gram, b.float())
    both = torch.cat([a, b]).float().double()
    torch.testing.assert_close(mirror(gram), both.T @ both, atol=1e-12, rtol=0)
    torch.testing.assert_close(products(a, b), a @ b.T, atol=1e-12, rtol=0)
    torch.testing.assert_close(kernel(a), a @ a.T, atol=1e-12, rtol=0)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("n", [1, 5, 12, 17])
def test_systems_are_solved(n: int) -> None:
    a, right = draw(n, 20), draw(n, 3)
    matrix = mirror(a @ a.T)
    before = matrix.clone()
    expected = torch.linalg.solve(matrix + 0.25 * torch.eye(n), right)
    torch.testing.assert_close(solve_shifted(matrix, 0.25, right), expected, atol=1e-9, rtol=0)
    assert torch.equal(matrix, before)


def test_a_large_system_takes_little_beside_its_matrix() -> None:
    n = 2600
    matrix, right = torch.eye(n, dtype=torch.float64), draw(n, 2)
    found, peak = peak_bytes(lambda: solve_shifted(matrix, 1.0, right), matrix, right)
    torch.testing.assert_close(found, right / 2)
    # Diagonal blocks and a few panels; the factor would be half of the matrix.
    assert peak < 0.4 * 8 * n * n
    assert torch.equal(matrix, torch.eye(n, dtype=torch.float64))
