"""Blocks of queries give what all queries at once do, and never hold more at a time than said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.functional import blocks
from bench.functional.blocks import in_blocks, summed_by_class


@pytest.mark.parametrize(("width", "most"), [(0, 64), (1, 64), (10, 6), (64, 1), (1000, 1)])
def test_no_block_holds_more_numbers_than_said_and_a_query_is_never_cut(
    width: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_NUMBERS", 64)
    queries, sizes = torch.arange(130.0).reshape(65, 2), []

    def logits(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return 2 * x

    assert torch.equal(in_blocks(queries, width, logits), 2 * queries)
    assert max(sizes) == most


def test_no_query_has_no_answer() -> None:
    assert in_blocks(torch.empty(0, 3), 5, lambda x: x @ torch.ones(3, 4)).shape == (0, 4)


def test_summed_by_class_are_the_product_with_one_hot_labels() -> None:
    values, columns = torch.rand(7, 20, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    expected = values @ F.one_hot(columns, 5).float()
    torch.testing.assert_close(summed_by_class(values.T.contiguous(), columns, 5), expected)
