"""Every road of the exact search against float64 brute force, where rounding is most likely to mislead it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.functional.classwise import normalise
from bench.search import Exact, blocked, exact, key_blocks, streaming, top_k
from bench.search import units as search_units
from bench.search.int8 import INT8, turn, turn_error
from bench.search.rounded_products import BF16, FP32, Product
from bench.utils.random import Stream

ENGINES = [Exact("int8"), Exact("int7"), Exact("bf16"), Exact("prefix"), Exact("fp32")]


def draw(n: int, d: int, purpose: str, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Stream(seed).child(purpose).numpy().standard_normal((n, d))).float()


def brute_force(queries: torch.Tensor, keys: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The definition: float64 similarities of float32 unit vectors (of contiguous rows), a stable sort."""
    sims = (normalise(queries).double().unsqueeze(1) * normalise(keys.contiguous()).double()).sum(-1)
    values, order = sims.nan_to_num(nan=-torch.inf).sort(dim=1, descending=True, stable=True)
    return order[:, :k], values[:, :k].float()


@contextmanager
def small_blocks() -> Iterator[None]:
    """Blocks so small that a few hundred keys take every road and cross every border."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_blocks, "GROUP", 4)
        patch.setattr(streaming, "GROUP", 4)
        patch.setattr(key_blocks, "_GROUPS", 2)
        patch.setattr(key_blocks, "_ENOUGH", 16)
        patch.setattr(key_blocks, "_BLOCK", 32)
        patch.setattr(streaming, "_SCORES", 512)
        patch.setattr(streaming, "_PAIRS", 13)
        patch.setattr(blocked, "_BLOCK", 50 * 16)
        patch.setattr(blocked, "_MANY", 4)
        patch.setattr(exact, "_QUERIES", 7)
        yield


def equal(engine: Exact, queries: torch.Tensor, keys: torch.Tensor, k: int) -> bool:
    found = engine.search(queries, keys, k)
    positions, similarities = brute_force(queries, keys, k)
    return torch.equal(found.positions, positions) and torch.equal(found.similarities, similarities)


def clustered(n: int, d: int, seed: int) -> torch.Tensor:
    return draw(5, d, "centres", seed).repeat_interleave(-(-n // 5), 0)[:n] + 0.05 * draw(n, d, "spread", seed)


def ascending(n: int, d: int, seed: int) -> torch.Tensor:
    """Each key nearer to (1, ..., 1) than the one before, so that every block raises the threshold."""
    return torch.linspace(-1, 3, n).unsqueeze(1) + draw(n, d, "noise", seed)


KEYS = {
    "gaussian": lambda n, d, s: draw(n, d, "keys", s),
    "ties": lambda n, d, s: draw(7, d, "keys", s).repeat(-(-n // 7), 1)[:n],
    "all equal": lambda n, d, s: draw(1, d, "keys", s).repeat(n, 1),
    "nearer than bfloat16 resolves": lambda n, d, s: draw(1, d, "keys", s) + 1e-4 * draw(n, d, "jitter", s),
    "nearer than float32 resolves": lambda n, d, s: draw(1, d, "keys", s) + 1e-8 * draw(n, d, "jitter", s),
    "clustered": clustered,
    "ascending": ascending,
    "descending": lambda n, d, s: ascending(n, d, s).flip(0),
    "with zeros": lambda n, d, s: draw(n, d, "keys", s) * (torch.arange(n) % 3 > 0).unsqueeze(1),
    "some not a number": lambda n, d, s: draw(n, d, "keys", s).index_fill(0, torch.arange(0, n, 37), torch.nan),
    "one infinite": lambda n, d, s: draw(n, d, "keys", s).index_put(
        (torch.tensor(0), torch.tensor(0)), torch.tensor(torch.inf)
    ),
    "far away": lambda n, d, s: draw(n, d, "keys", s).abs().neg(),
    "half precision": lambda n, d, s: draw(n, d, "keys", s).half(),
    "bfloat16": lambda n, d, s: draw(n, d, "keys", s).bfloat16(),
    "not contiguous": lambda n, d, s: draw(d, n, "keys", s).T,
    "tiny": lambda n, d, s: draw(n, d, "keys", s) * 1e-9,
    "unit": lambda n, d, s: normalise(draw(n, d, "keys", s)),
    "along few axes": lambda n, d, s: draw(n, min(d, 3), "keys", s) @ draw(min(d, 3), d, "axes", s),
    "equal but for a short axis": lambda n, d, s: (
        draw(1, d, "keys", s) + 0.01 * draw(n, 1, "along", s) * draw(1, d, "axis", s)
    ),
}


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(sorted(KEYS)),
    engine=st.sampled_from(ENGINES),
    q=st.integers(1, 20),
    m=st.integers(1, 400),
    d=st.integers(1, 40),
    k=st.one_of(st.integers(1, 12), st.integers(1, 400)),
    seed=st.integers(0, 5),
)
def test_equals_brute_force_whatever_the_data(
    kind: str, engine: Exact, q: int, m: int, d: int, k: int, seed: int
) -> None:
    queries, keys = draw(q, d, "queries", seed) + (kind == "ascending"), KEYS[kind](m, d, seed)
    with small_blocks():
        assert equal(engine, queries, keys, k)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
@pytest.mark.parametrize("kind", ["gaussian", "clustered", "nearer than bfloat16 resolves", "with zeros"])
def test_equals_brute_force_in_blocks_of_full_size(engine: Exact, kind: str) -> None:
    keys = KEYS[kind](20_000, 48, 0)
    assert equal(engine, torch.cat([draw(15, 48, "queries"), keys[:3]]), keys, 10)


def test_bfloat16_scores_alone_would_be_wrong() -> None:
    keys = KEYS["nearer than bfloat16 resolves"](600, 64, 0)
    queries = draw(8, 64, "queries")
    scores = normalise(queries).bfloat16() @ normalise(keys).bfloat16().T
    right = brute_force(queries, keys, 5)[0]
    assert not all(set(r.tolist()) <= set(w.tolist()) for r, w in zip(right, scores.topk(64).indices, strict=True))
    with small_blocks():
        assert torch.equal(Exact("bf16").search(queries, keys, 5).positions, right)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
def test_a_query_that_is_not_a_number_does_not_change_the_others(engine: Exact) -> None:
    queries = draw(9, 64, "queries")
    queries[4, 7] = torch.nan
    with small_blocks():
        assert equal(engine, queries, draw(400, 64, "keys"), 5)


def test_a_query_given_up_is_answered_by_a_finer_product() -> None:
    """More ties than a list of candidates may hold."""
    keys = torch.cat([draw(1, 16, "tied").repeat(1500, 1), draw(300, 16, "others")])
    with small_blocks():
        for engine in ENGINES:
            assert equal(engine, torch.cat([draw(1, 16, "tied"), draw(3, 16, "queries")]), keys, 4)


@settings(max_examples=120, deadline=None)
@given(
    product=st.sampled_from([INT8, BF16, FP32]),
    kind=st.sampled_from(sorted(KEYS)),
    d=st.integers(1, 300),
    group=st.sampled_from([1, 4]),
    seed=st.integers(0, 3),
)
def test_the_bound_holds_for_every_score(product: Product, kind: str, d: int, group: int, seed: int) -> None:
    queries, keys = draw(9, d, "queries", seed), KEYS[kind](50, d, seed)
    low, high = product.round(queries), product.round(keys, group)
    scores = torch.empty(len(queries), len(keys), dtype=product.score_dtype)
    product.multiply(low.x, high.x, out=scores)
    values = scores.double() * low.scale.double().unsqueeze(1) * high.scale.double()
    true = (normalise(queries).double() @ normalise(keys).double().T).nan_to_num()
    fixed, slope = product.bound(low)
    bound = product.out * values.abs() + fixed.unsqueeze(1) + slope * high.moved.double()
    assert ((values - true).abs() <= bound).all()


def test_the_bound_is_within_a_small_factor_of_what_rounding_can_do() -> None:
    """A component just below half a step is rounded down in query and key alike: the errors add up, none cancels."""
    x = normalise(torch.full((1, 256), 1 + 2.0**-8 - 2.0**-12))
    low = BF16.round(x)
    error = (low.x.double() @ low.x.double().T - 1).abs()
    fixed, slope = BF16.bound(low)
    assert error > 0.9 * (fixed + slope * low.moved - 2.0**-12)


@pytest.mark.parametrize("d", [1, 2, 13, 48, 512, 768])
def test_turning_keeps_dot_products_and_spreads_every_component(d: int) -> None:
    x = normalise(torch.cat([torch.eye(d)[:60], draw(40, d, "vectors")]))
    turned = turn(x)
    off = (turned.double() @ turned.double().T - x.double() @ x.double().T).abs().max()
    assert off <= turn_error(d) < 1e-3
    assert turned[: min(d, 60)].abs().max() <= 2 / d**0.5 + 1e-6


def test_keys_of_one_group_share_their_scale() -> None:
    low = INT8.round(draw(70, 64, "keys"), 16)
    assert all(len(part.unique()) == 1 for part in low.scale.split(16))
    assert len(low.scale.unique()) == 5
    assert low.x.abs().amax(1).max() == 127


def test_a_search_says_what_ran_and_the_processor_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_blocks, "_BLOCK", 64)
    monkeypatch.setattr(key_blocks, "_ENOUGH", 64)
    queries, keys = draw(300, 64, "queries"), draw(128, 64, "keys")

    def by(engine: Exact, queries: torch.Tensor = queries, keys: torch.Tensor = keys) -> str:
        (name,) = engine.search(queries, keys, 2).by
        return name

    assert [by(engine) for engine in ENGINES] == [
        "exact-int8",
        "exact-int7",
        "exact-bf16",
        "exact-prefix",
        "exact-fp32",
    ]
    monkeypatch.setattr(exact, "has_int8_units", lambda: True)
    monkeypatch.setattr(exact, "has_bf16_units", lambda: True)
    assert by(Exact()) == "exact-int8"
    # Too few dimensions, too few queries, too few keys; those cannot be forced.
    assert by(Exact(), queries[:, :32], keys[:, :32]) == by(Exact(), queries[:17]) == "exact-bf16"
    # Few queries are compared with the keys as they are stored.
    assert by(Exact(), queries[:3]) == "exact-fp32"
    assert [by(engine, keys=keys[:100]) for engine in (Exact(), *ENGINES)] == ["exact-fp32"] * 6
    monkeypatch.setattr(exact, "_QUERIES", 256)
    assert Exact().search(queries, keys, 2).by == ("exact-int8",)
    assert exact.top_k(queries, keys, 2).first(1).by == ("exact-bf16", "exact-int8")
    monkeypatch.setattr(exact, "has_int8_units", lambda: False)
    assert by(Exact()) == "exact-bf16"
    monkeypatch.setattr(exact, "has_bf16_units", lambda: False)
    assert by(Exact()) == "exact-fp32"
    assert Exact().search(queries[:0], keys, 2).by == ()
    assert [engine.name for engine in (Exact(), *ENGINES)] == [
        "exact",
        *(f"exact:product={e.product}" for e in ENGINES),
    ]


def test_eight_bits_are_for_many_queries_or_keys_rounded_before_of_many_dimensions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exact, "has_int8_units", lambda: True)
    monkeypatch.setattr(exact, "has_bf16_units", lambda: True)
    monkeypatch.setattr(key_blocks, "_BLOCK", 64)
    monkeypatch.setattr(key_blocks, "_ENOUGH", 64)
    few, many, keys = draw(3, 64, "queries"), draw(300, 64, "queries"), draw(128, 64, "keys")

    def names(queries: torch.Tensor, keep: bool) -> list[str]:
        return [p.name for p in Exact().products(queries, keys, 2, keep=keep)]

    assert names(many, keep=True) == names(many, keep=False) == ["int8", "bf16", "fp32"]
    assert names(few, keep=True) == names(many[:, :32], keep=True) == ["bf16", "fp32"]
    assert Exact().products(many, keys[1:], 2, keep=True) == []
    engine = Exact()
    engine.search(many, keys, 2)
    assert [p.name for p in engine.products(few, keys, 2, keep=True)] == ["int8", "bf16", "fp32"]


@pytest.mark.parametrize("units", [True, False])
def test_eight_bits_add_up_with_and_without_units_for_them(units: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not units:
        monkeypatch.setattr(search_units, "has_int8_units", lambda: False)
    for d in (1, 2, 13, 64, 300):
        rows, columns = torch.full((9, d), 127, dtype=torch.int8), torch.full((50, d), 127, dtype=torch.int8)
        rows[::2] *= -1
        found = torch.empty(9, 50, dtype=torch.int32)
        INT8.multiply(rows, columns, out=found)
        assert torch.equal(found.long(), rows.long() @ columns.long().T)


@pytest.mark.parametrize(("product", "itemsize"), [("int8", 1), ("int7", 1), ("bf16", 2), ("prefix", 4)])
def test_a_kept_copy_follows_its_keys(product: Literal["int8", "int7", "bf16", "prefix"], itemsize: int) -> None:
    engine, queries = Exact(product), draw(4, 16, "queries")
    with small_blocks():
        keys = draw(300, 16, "keys")
        engine.search(queries, keys, 3)
        (kept,) = engine._kept.values()
        assert kept.copy.low.x.nbytes == itemsize * len(keys) * kept.copy.product.width(16)
        keys.neg_()
        assert equal(engine, queries, keys, 3)
        del keys
        assert not engine._kept
        assert not engine._samples
        # Keys that other tests of this process still hold may be kept.
        before = set(exact.EXACT._kept)
        others = draw(300, 16, "others")
        top_k(queries, others, 3)
        assert set(exact.EXACT._kept) <= before


def test_queries_and_keys_that_require_gradients_are_searched_as_they_are() -> None:
    queries, keys = draw(5, 16, "queries").requires_grad_(True), normalise(draw(300, 16, "keys")).requires_grad_(True)
    with small_blocks():
        for engine in ENGINES:
            found = engine.search(queries, keys, 4)
            assert torch.equal(found.positions, brute_force(queries, keys, 4)[0])
            assert not found.similarities.requires_grad


MEASURE = '''
import torch
from bench.search import Exact

def kib(name):
    """Of this program alone; what getrusage tells begins with its parent's."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

keys, queries = torch.randn(120_000, 8).half(), torch.randn(2_000, 8)
for engine in (Exact("int8"), Exact("int7"), Exact("bf16"), Exact("prefix"), Exact("fp32")):
    engine.search(queries[:2], keys[:20_000], 32)
before = kib("VmRSS")
for engine in (Exact("int8"), Exact("int7"), Exact("bf16"), Exact("prefix"), Exact("fp32")):
    engine.search(queries, keys, 32)
print((kib("VmHWM") - before) / 1024)
'''


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_the_score_matrix_is_never_whole() -> None:
    """All scores would take 0.9 GiB in float32; a search may take 512 MiB more than what it is given."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < 512
