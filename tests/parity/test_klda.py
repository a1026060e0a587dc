import numpy as np
import pytest
import torch

from bench.functional.gaussian import Fourier
from bench.utils.random import Stream
from tests.parity._naive import close, few_shot, make, queries


@pytest.mark.parametrize("width", [10, 300])
def test_equals_discriminant_analysis_on_random_fourier_features(width: int) -> None:
    # 18 images: more than features, and fewer.
    task, e = few_shot(), 1e-3
    method = make("klda", width=width, shrinkage=e)
    state = method.build(task, rng=Stream(0))
    w, b = state.features.frequencies.double().numpy(), state.features.phases.double().numpy()

    def phi(x: np.ndarray) -> np.ndarray:
        return np.sqrt(2 / width) * np.cos(x @ w + b)

    rows, columns = phi(task.support.x.double().numpy()), task.columns(task.support.labels).numpy()
    means = np.stack([rows[columns == c].mean(0) for c in range(3)])
    centred = rows - means[columns]
    s = (1 - e) * centred.T @ centred / len(rows) + e * np.eye(width)
    weights = np.linalg.solve(s, means.T)
    expected = phi(queries().double().numpy()) @ weights - (means.T * weights).sum(0) / 2
    close(method.score(state, queries()), expected, 1e-4)


def test_features_approximate_the_kernel() -> None:
    x = queries(20)
    phi = Fourier.draw(x.shape[1], 40000, 0.7, torch.device("cpu"), Stream(1))(x)
    kernel = torch.exp(-0.7 * torch.cdist(x, x).square())
    # The error of one entry has a standard deviation of at most 1 / sqrt(D) = 0.005.
    torch.testing.assert_close(phi @ phi.T, kernel, atol=0.03, rtol=0)
