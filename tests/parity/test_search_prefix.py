"""Keys turned to their principal axes and cut off: the bound holds, and the product is used where it pays alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.functional.classwise import normalise
from bench.search import Exact, exact, sgemm
from bench.search.prefix import PrefixProduct, Sample
from bench.search.reference import search_float64
from bench.search.threshold import reaches
from bench.utils.random import Stream


def draw(n: int, d: int, purpose: str, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Stream(seed).child(purpose).numpy().standard_normal((n, d), dtype="float32"))


def steep(n: int, d: int, purpose: str, seed: int = 0) -> torch.Tensor:
    """Return vectors of which each further component is shorter, in turned axes."""
    turned = torch.linalg.qr(draw(d, d, "turn", seed)).Q
    found: torch.Tensor = draw(n, d, purpose, seed) * 0.9 ** torch.arange(d) @ turned
    return found


@settings(max_examples=150, deadline=None)
@given(
    d=st.integers(2, 200),
    p=st.integers(1, 199),
    kind=st.sampled_from([draw, steep]),
    scale=st.sampled_from([1e-30, 1.0, 1e15]),
    skewed=st.booleans(),
    seed=st.integers(0, 3),
)
def test_no_similarity_lies_above_its_bound(
    d: int, p: int, kind: object, scale: float, skewed: bool, seed: int
) -> None:
    """Also for axes that are not quite orthogonal, and for vectors that lie along or across the axes."""
    axes = torch.linalg.qr(draw(d, d, "axes", seed)).Q[:, : min(p, d)].contiguous()
    if skewed:
        axes += 1e-3 * draw(len(axes), axes.shape[1], "skew", seed) / d
    product = PrefixProduct(axes)
    make = steep if kind is steep else draw
    across = torch.linalg.qr(draw(d, d, "axes", seed)).Q[:, min(p, d) :].T[:3]
    queries = torch.cat([make(9, d, "queries", seed), axes.T[:3], across, torch.zeros(1, d)])
    keys = scale * torch.cat([make(30, d, "keys", seed), queries])
    low, high = product.round(queries), product.round(keys)
    scores = torch.empty(len(queries), len(keys))
    product.multiply(low.x, high.x, out=scores)
    fixed, slope = product.bound(low)
    true = normalise(queries).double() @ normalise(keys).double().T
    above = scores.double() + fixed.unsqueeze(1) + slope * high.moved.double() - true
    assert above.min() >= 0
    if p >= d and not skewed and scale == 1:
        # Nothing was cut off, so nothing but rounding lies between.
        assert above[:9, :30].max() < 2e-3


def test_what_was_cut_off_may_decide() -> None:
    """Keys equal along all axes that are kept, whose rest alone tells which is nearest."""
    keys = torch.cat([steep(20_000, 64, "keys")[:, :48], torch.zeros(20_000, 16)], 1)
    keys[::50] = torch.cat([torch.ones(48), torch.zeros(16)])
    keys[::50, 48:] = 0.05 * draw(400, 16, "rest")
    queries = keys[::50][:300] + 0.01 * torch.cat([torch.zeros(300, 48), draw(300, 16, "more")], 1)
    for kept in (keys, keys.half()):
        found = Exact("prefix").search(queries, kept, 3)
        positions, similarities = search_float64(normalise(queries), kept, 3)
        assert found.by == ("exact-prefix",)
        assert torch.equal(found.positions, positions)
        assert torch.equal(found.similarities, similarities.float())


@pytest.fixture
def without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "has_int8_units", lambda: False)
    monkeypatch.setattr(exact, "has_bf16_units", lambda: False)
    monkeypatch.setattr(exact, "has_packed_products", lambda: False)


@pytest.mark.usefixtures("without_units")
def test_it_is_used_for_keys_that_few_axes_tell_apart_and_many_queries() -> None:
    n, d = 40_000, 96
    keys, queries = steep(n, d, "keys"), steep(600, d, "queries")
    assert Exact().search(queries, keys, 4).by == ("exact-prefix",)
    assert Exact("fp32").search(queries, keys, 4).by == ("exact-fp32",)
    assert Exact().search(draw(600, d, "queries"), draw(n, d, "keys"), 4).by == ("exact-fp32",)
    assert Exact().search(queries[:100], keys, 4).by == ("exact-fp32",)
    engine = Exact()
    engine.search(queries, keys, 4)
    # Keys that were turned before serve few queries too; queries across the axes that were kept are not searched so.
    assert engine.search(queries[:100], keys, 4).by == ("exact-prefix",)
    across = torch.linalg.qr(draw(d, d, "turn")).Q[-10:].repeat(30, 1)
    assert engine.search(across, keys, 4).by == ("exact-fp32",)


@pytest.mark.usefixtures("without_units")
def test_keys_of_which_no_copy_is_kept_are_turned_block_by_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys, queries = steep(40_000, 96, "keys"), steep(1100, 96, "queries")
    expected = Exact("fp32").search(queries, keys.half(), 4)
    np.save(tmp_path / "keys.npy", keys.half().numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "keys.npy", mmap_mode="c"))
    monkeypatch.setattr(exact, "_KEPT_BYTES", 1000)
    engine = Exact()
    found = engine.search(queries, mapped, 4)
    assert found.by == ("exact-prefix",)
    assert not engine._kept
    assert torch.equal(found.positions, expected.positions)
    assert torch.equal(found.similarities, expected.similarities)
    assert engine.search(queries[:600], mapped, 4).by == ("exact-fp32",)
    assert torch.equal(reaches(queries, mapped, 0.5), expected.similarities[:, 0] >= 0.5)


def test_a_sample_has_no_axes_of_keys_that_are_as_long_along_all_or_are_no_numbers() -> None:
    flat = Sample.of(draw(9000, 64, "keys"))
    assert flat is not None
    assert flat.axes is None
    assert flat.product(normalise(draw(50, 64, "queries")), 5) is None
    forced = Sample.of(draw(9000, 64, "keys"), forced=True)
    assert forced is not None
    assert forced.axes is not None
    assert Sample.of(torch.full((9000, 64), torch.nan), forced=True) is None
    sample = Sample.of(steep(9000, 64, "keys"))
    assert sample is not None
    costs = sample.costs(normalise(steep(50, 64, "queries")), 5, [4, 16, 60])
    assert costs[4] > costs[16] < costs[60]


def test_both_float32_products_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    q, x = draw(7, 30, "queries"), draw(90, 30, "keys")
    right = (q.double() @ x.double().T).float()
    for quicker in (True, False):
        monkeypatch.setattr(sgemm, "_numpy_is_quicker", lambda quicker=quicker: quicker)
        monkeypatch.setattr(sgemm, "_same_threads", lambda: True)
        out = torch.empty(7, 90)
        sgemm.multiply_float32(q, x, out)
        torch.testing.assert_close(out, right)


def test_numpy_multiplies_only_with_the_threads_that_torch_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sgemm, "_libraries", list)
    assert not sgemm._same_threads()
    library = SimpleNamespace(num_threads=torch.get_num_threads())
    monkeypatch.setattr(sgemm, "_libraries", lambda: [library])
    assert sgemm._same_threads()
    library.num_threads += 1
    assert not sgemm._same_threads()
