"""The exact search on real features, whose lengths lie in few components and whose neighbours lie close together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.functional.classwise import normalise
from bench.search import Exact, streaming
from bench.search.int8 import INT8
from bench.search.key_blocks import in_order
from bench.search.rounded_products import BF16, Product
from bench.utils.random import Stream


@pytest.fixture(scope="module")
def features(real_features: Path) -> torch.Tensor:
    """Return all images of all sets in a fixed random order, unit norm [n, 512]."""
    arrays = []
    for path in sorted(real_features.glob("*.npz")):
        if path.stem != "text_pool":
            with np.load(path) as parts:
                arrays += [parts[name].astype(np.float32) for name in sorted(parts.files) if name.endswith("_x")]
    x = normalise(torch.from_numpy(np.concatenate(arrays)))
    return x[torch.from_numpy(Stream(0).child("order").permutation(len(x)))]


@pytest.mark.parametrize("product", [INT8, BF16], ids=lambda product: product.name)
def test_few_candidates_remain_and_no_query_is_given_up(features: torch.Tensor, product: Product) -> None:
    queries, keys, k = features[:500], features[500:], 32
    rows, _, given_up = streaming.candidates(product, queries, in_order(product, keys, k), k)
    assert not given_up.any()
    assert len(rows) < 1.1 * k * len(queries)


def test_all_products_give_the_same_neighbours(features: torch.Tensor) -> None:
    queries, keys = features[:500], features[500:].half()
    expected = Exact("fp32").search(queries, keys, 32)
    for product in ("int8", "int7", "bf16", "prefix"):
        found = Exact(product).search(queries, keys, 32)
        assert torch.equal(found.positions, expected.positions)
        assert torch.equal(found.similarities, expected.similarities)
