"""Keys rounded to 7 bits and queries to 8: the bound holds, on any torch, and the product is used where it pays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.functional.classwise import normalise
from bench.search import Exact, exact, packed
from bench.search.int7 import INT7
from bench.search.key_blocks import GROUP
from bench.search.packed import COARSE, FINE, STORED, ZERO
from bench.search.reference import search_float64
from tests.parity.test_search_prefix import draw, steep


@pytest.fixture(params=[True, False], ids=["packed", "by float64"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With torch's product, where there is one, and without."""
    if request.param:
        packed._right.cache_clear()
    else:
        monkeypatch.setattr(packed, "_right", lambda: False)
    return bool(request.param)


@settings(max_examples=100, deadline=None)
@given(
    d=st.integers(1, 200),
    kind=st.sampled_from(["random", "steep", "one component"]),
    scale=st.sampled_from([1e-30, 1.0, 1e15]),
    seed=st.integers(0, 3),
)
def test_no_similarity_lies_above_its_bound(d: int, kind: str, scale: float, seed: int) -> None:
    make = {"random": draw, "steep": steep, "one component": lambda n, d, *_: torch.eye(d)[torch.arange(n) % d]}[kind]
    queries = torch.cat([make(9, d, "queries", seed), torch.zeros(1, d)])
    keys = scale * torch.cat([make(2 * GROUP, d, "keys", seed), queries, -queries])
    low, high = INT7.round_queries(queries), INT7.round(keys, GROUP)
    asked, unit = INT7.prepared(low)
    stored = INT7.multiply(asked, high.x, out=torch.empty(0))
    scores = stored.double() * unit.double().unsqueeze(1) * high.scale.double()
    fixed, slope = INT7.bound(low)
    true = normalise(queries).double() @ normalise(keys).double().T
    assert (scores + fixed.unsqueeze(1) + slope * high.moved.double() - true).min() >= 0
    # What is neither below zero nor above all is no further off on the other side.
    inside = (stored > 0) & (stored < 255)
    assert ((scores - fixed.unsqueeze(1) - slope * high.moved.double())[inside] <= true[inside]).all()


@pytest.mark.parametrize("n", [16_384, 20_011])
@pytest.mark.usefixtures("way")
def test_neighbours_are_those_of_the_definition(n: int) -> None:
    """Also of a last group that is not full, of duplicates, of not a number, and of queries on the other side."""
    keys = draw(n, 64, "keys")
    keys[5000:5003], keys[7] = keys[4999], torch.nan
    queries = torch.cat([keys[4990:5005], draw(20, 64, "queries"), -keys[:5], torch.full((1, 64), torch.nan)])
    positions, similarities = search_float64(normalise(queries), keys, 5)
    found = Exact("int7").search(queries, keys, 5)
    assert found.by == ("exact-int7",)
    assert torch.equal(found.positions[:-1], positions[:-1])
    assert torch.equal(found.similarities[:-1], similarities[:-1].float())


def test_many_keys_as_near_as_the_last_are_left_to_finer_products() -> None:
    keys = normalise(torch.ones(1, 64) + 0.02 * draw(17_000, 64, "keys"))
    queries = keys[:40] + 0.01 * draw(40, 64, "queries")
    expected = search_float64(normalise(queries), keys, 3)[0]
    assert torch.equal(Exact("int7").search(queries, keys, 3).positions, expected)


@pytest.mark.usefixtures("way")
def test_stored_products_are_right_to_half_a_number() -> None:
    counts, keys = torch.full((3, 300), FINE, dtype=torch.int8), torch.full((5, 300), ZERO + COARSE, dtype=torch.uint8)
    counts[1] = -FINE
    counts[2, ::2] = -FINE
    step = torch.tensor([1e-5, 1e-5, 1.0])
    found = packed.multiply(keys, packed.pack(counts, step))
    assert (found[:, 0].double() - 300 * FINE * COARSE * 1e-5).abs().max() <= STORED
    assert not found[:, 1:].any()


def raises(*_: Any, **__: Any) -> None:
    raise NotImplementedError("not in this version")


BROKEN = {
    "no packing": ("linear_prepack", None),
    "a product that raises": ("linear", raises),
    "a product that adds wrongly": (
        "linear",
        lambda x, *_: torch.quantize_per_tensor(torch.ones(len(x), 37), 1.0, 0, torch.quint8),
    ),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("broken", BROKEN)
def test_without_a_right_product_there_is_none_and_answers_stay(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, other = BROKEN[broken]
    ops = {one: getattr(torch.ops.quantized, one) for one in ("linear", "linear_prepack")} | {name: other}
    given_ops = type("Quantized", (), {one: staticmethod(do) for one, do in ops.items() if do is not None})
    monkeypatch.setattr(torch.ops, "quantized", given_ops)
    for ask in (packed._right, packed.has_packed_products):
        ask.cache_clear()
    try:
        assert not packed.has_packed_products()
        keys = draw(17_000, 16, "keys")
        queries = keys[:5] + keys[5:10]
        expected = search_float64(normalise(queries), keys, 3)[0]
        assert torch.equal(Exact("int7").search(queries, keys, 3).positions, expected)
    finally:
        for ask in (packed._right, packed.has_packed_products):
            ask.cache_clear()


def test_it_is_used_without_units_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "has_int8_units", lambda: False)
    monkeypatch.setattr(exact, "has_bf16_units", lambda: False)
    monkeypatch.setattr(exact, "has_packed_products", lambda: True)
    monkeypatch.setattr(exact, "_PACKED", 300)
    keys, queries = draw(30_000, 256, "keys"), draw(300, 256, "queries")
    engine = Exact()
    assert engine.search(queries, keys, 1).by == ("exact-int7",)
    # Keys that were rounded before serve few queries too.
    assert engine.search(queries[:200], keys, 1).by == ("exact-int7",)
    assert Exact().search(queries[:200], keys, 1).by == ("exact-fp32",)
    # Keys so near to each other that 7 bits hardly tell them apart.
    close = torch.ones(1, 256) + 0.1 * keys
    assert Exact().search(torch.ones(1, 256) + 0.1 * queries, close, 1).by != ("exact-int7",)
    # Along few axes the product of those is quicker.
    assert Exact().search(steep(800, 96, "queries"), steep(40_000, 96, "keys"), 4).by == ("exact-prefix",)
    monkeypatch.setattr(exact, "has_packed_products", lambda: False)
    assert Exact().search(queries, keys, 1).by == ("exact-fp32",)
