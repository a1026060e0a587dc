"""Keys are dealt to blocks at random and floors are guessed: no answer shows it, and no order of keys is slow."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import hypergeom

from bench.functional.classwise import normalise
from bench.search import Exact, key_blocks, streaming
from bench.search.int8 import INT8
from bench.search.reference import search_float64
from bench.search.rounded_products import Product
from bench.utils.random import Stream


def draw(n: int, d: int, purpose: str) -> torch.Tensor:
    return torch.from_numpy(Stream(0).child(purpose).numpy().standard_normal((n, d), dtype="float32"))


def classes(n: int, each: int, d: int) -> torch.Tensor:
    """Return n classes of so many keys, class by class, that spread in a few directions as real ones do."""
    centres = draw(n, d, "centres").repeat_interleave(each, 0)
    return centres + 0.4 * draw(n * each, 12, "within") @ draw(12, d, "directions")


@pytest.mark.parametrize(("k", "seen", "total"), [(32, 8192, 200_000), (32, 8192, 20_000), (1, 1, 2), (128, 500, 501)])
def test_a_guess_is_hardly_ever_above_the_kth_neighbour(k: int, seen: int, total: int) -> None:
    rank = streaming.rank_of_guess(k, seen, total)
    assert 1 <= rank <= k
    # It is above where so many of the k best were drawn, the k-th not among them.
    assert rank == k or hypergeom.sf(rank - 1, total, k, seen) <= 2.0**-16
    assert streaming.rank_of_guess(k, total, total) == k


def test_a_query_that_missed_a_neighbour_is_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_blocks, "_BLOCK", 256)
    monkeypatch.setattr(key_blocks, "_GROUPS", 1)
    monkeypatch.setattr(key_blocks, "_ENOUGH", 16)
    monkeypatch.setattr(streaming, "rank_of_guess", lambda k, seen, total: k if seen == total else 1)
    again: list[int] = []
    certain = streaming.candidates

    def counting(product: Product, queries: torch.Tensor, *rest: object) -> object:
        again.append(len(queries))
        return certain(product, queries, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(streaming, "candidates", counting)
    keys, queries = classes(20, 100, 64), draw(40, 64, "queries")
    found = Exact("int8").search(queries, keys, 4)
    positions, similarities = search_float64(normalise(queries), keys, 4)
    assert again
    assert torch.equal(found.positions, positions)
    assert torch.equal(found.similarities, similarities.float())


def compared(keys: torch.Tensor, queries: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many keys a search compares in float32."""
    counts: list[int] = []
    add = streaming.Candidates._add

    def counting(self: streaming.Candidates, rows: torch.Tensor, *rest: torch.Tensor) -> None:
        counts.append(len(rows))
        add(self, rows, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(streaming.Candidates, "_add", counting)
        Exact("int8").search(queries, keys, 16)
    return sum(counts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_keys_in_class_order_cost_what_shuffled_ones_cost(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = classes(400, 50, 64).to(dtype)
    queries = keys[:: len(keys) // 100].float() + 0.3 * draw(100, 64, "moved")
    shuffled = keys[torch.from_numpy(Stream(0).child("order").permutation(len(keys)))]
    assert compared(keys, queries, monkeypatch) <= 1.25 * compared(shuffled, queries, monkeypatch)


def test_blocks_hold_each_key_once_in_its_order() -> None:
    keys = draw(20_000, 8, "keys")
    copy = key_blocks.Shuffled.of(INT8, keys)
    positions = [block.positions for block in copy.blocks(keys, 32)]
    assert [len(p) for p in positions] == [8192, 8192, 3616]
    assert all(bool((p.diff() > 0).all()) for p in positions)
    assert torch.equal(torch.cat(positions).sort().values, torch.arange(len(keys)))
    # A third of every stretch lies in each block, but for chance.
    assert all(abs(int((p < 5000).sum()) / 5000 - len(p) / 20_000) < 0.05 for p in positions)
