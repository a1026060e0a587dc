"""The search's road on a GPU, taken by tensors of the processor: its answers, its launches and waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.functional.classwise import normalise
from bench.search import Exact, Neighbours, duplicates, gpu, reference, room, top_k
from bench.search.approximate.recall import recall_at
from bench.search.duplicates import needed
from bench.search.reference import pair_similarities, search_float64
from bench.search.room import Room
from bench.search.threshold import reaches
from tests.parity.test_search_certified import KEYS, brute_force, draw

HERE = torch.device("cpu")
_WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::masked_select", "aten::is_nonzero"}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor counts as lying on a processor."""
    monkeypatch.setattr(room, "_PROCESSOR", "none")
    monkeypatch.setattr(room, "_crowded", set())


def small_room(monkeypatch: pytest.MonkeyPatch, nbytes: int) -> None:
    monkeypatch.setattr(room, "_PLAIN", nbytes)


class Launches(TorchDispatchMode):
    """Counts the operations that a GPU would launch a kernel for, and those that would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: Counter[str] = Counter()
        self.waited: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        views = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        masks = name.startswith("aten::index") and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in args[1] or () if isinstance(args[1], list)
        )
        if not views:
            self.launched[name] += 1
        if name in _WAITS or masks:
            self.waited[name] += 1
        return func(*args, **(kwargs or {}))


def launches(work: Callable[[], object]) -> Launches:
    with Launches() as counted:
        work()
    return counted


@pytest.mark.parametrize("nbytes", [1 << 30, 1 << 16, 5000])
@pytest.mark.parametrize("kind", sorted(KEYS))
@pytest.mark.parametrize(("m", "d", "k"), [(400, 16, 5), (300, 24, 40), (60, 3, 60), (90, 7, 1)])
def test_equals_brute_force_in_blocks_of_any_size(
    kind: str, m: int, d: int, k: int, nbytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_room(monkeypatch, nbytes)
    keys = KEYS[kind](m, d, 0)
    queries = torch.cat([draw(9, d, "queries"), normalise(keys[:3])])
    queries[4], queries[5, 0] = 0, torch.nan
    found = top_k(queries, keys, k)
    positions, similarities = brute_force(queries, keys, k)
    assert torch.equal(found.positions, positions)
    assert torch.equal(found.similarities, similarities)
    assert found.by == ("exact-fp32",)


@pytest.mark.parametrize("nbytes", [1 << 30, 1 << 18])
def test_equals_the_definition_on_many_repeated_keys(nbytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_room(monkeypatch, nbytes)
    keys = torch.cat([draw(300, 32, "captions").repeat(5, 1), draw(1, 32, "caption").repeat(900, 1)])
    keys = keys[torch.randperm(len(keys), generator=torch.Generator().manual_seed(0))].half()
    queries = torch.cat([draw(20, 32, "queries"), draw(1, 32, "caption") + 0.1 * draw(30, 32, "near")])
    found = top_k(queries, keys, 20)
    positions, similarities = search_float64(normalise(queries), keys, 20)
    assert torch.equal(found.positions, positions)
    assert torch.equal(found.similarities, similarities.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_hundred_queries_take_less_than_a_launch(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """As 8,192 queries, 100,000 keys of 512 dimensions and 1 GiB, with a sixteenth of keys, dimensions and room."""
    small_room(monkeypatch, (1 << 30) // 16)
    queries, keys = draw(8192, 32, "queries"), draw(6250, 32, "keys").to(dtype)
    counted = launches(lambda: top_k(queries, keys, 32))
    assert 100 * counted.launched.total() <= len(queries)
    assert counted.waited.total() <= 3


def test_more_queries_add_launches_by_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = draw(3000, 16, "keys").half()
    few, many = (launches(lambda n=n: top_k(draw(n, 16, "queries"), keys, 32)) for n in (10, 2000))
    assert few.launched == many.launched
    assert few.waited == many.waited


def tied(n: int, d: int) -> torch.Tensor:
    """Captions that are repeated far more often than there are neighbours."""
    return draw(40, d, "captions").repeat(-(-n // 40), 1)[:n]


REPEATED = {"captions": tied(8192, 32), "one": draw(1, 32, "key").repeat(8192, 1)}


@pytest.mark.parametrize("kind", [*REPEATED, "too near"])
def test_ties_take_a_bounded_number_of_launches(kind: str) -> None:
    """32 queries over 8,192 keys, and ten times as many queries take no more."""
    keys = REPEATED.get(kind, draw(1, 32, "key") + 1e-8 * draw(8192, 32, "jitter"))
    few, many = (launches(lambda n=n: top_k(draw(n, 32, "queries"), keys, 32)) for n in (32, 320))
    assert few.launched.total() <= 120
    assert many.launched.total() <= few.launched.total() + 20
    assert max(few.waited.total(), many.waited.total()) <= 8


@pytest.mark.parametrize("kind", REPEATED)
def test_repeats_beyond_the_k_first_are_not_compared(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs of 320 queries and 8,192 keys would take 70 chunks."""
    small_room(monkeypatch, 1 << 24)
    counted = launches(lambda: top_k(draw(320, 32, "queries"), REPEATED[kind], 32))
    assert counted.launched.total() <= 300


def test_no_more_pairs_are_put_in_order_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    small_room(monkeypatch, 1 << 19)
    sizes: list[int] = []

    def noting(q: torch.Tensor, keys: torch.Tensor, rows: torch.Tensor, places: torch.Tensor, room: Room) -> Any:
        sizes.append(len(rows))
        return pair_similarities(q, keys, rows, places, room)

    monkeypatch.setattr(gpu, "pair_similarities", noting)
    keys = draw(1, 16, "key") + 1e-8 * draw(700, 16, "jitter")
    keys[::2] = draw(350, 16, "others")
    queries = torch.cat([draw(50, 16, "queries"), keys[1:40:2]])
    found = top_k(queries, keys, 9)
    assert torch.equal(found.positions, brute_force(queries, keys, 9)[0])
    assert len(sizes) > 1
    assert max(sizes) <= (1 << 19) // 128


def test_keys_are_rounded_once_a_search_however_many_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    small_room(monkeypatch, 1 << 16)
    rounded: list[int] = []

    def noting(x: torch.Tensor) -> torch.Tensor:
        rounded.append(len(x))
        return normalise(x)

    monkeypatch.setattr(gpu, "normalise", noting)
    top_k(draw(9000, 8, "queries"), draw(500, 8, "keys").half(), 4)
    assert sum(rounded) == 500
    assert len(rounded) > 1


def test_all_chunks_of_a_comparison_have_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device may add up sums in another order if there are fewer of them."""
    small_room(monkeypatch, 10_000)
    shapes: list[tuple[int, ...]] = []

    def noting(x: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(x.shape))
        return normalise(x)

    monkeypatch.setattr(reference, "normalise", noting)
    q, keys = normalise(draw(30, 16, "queries")), draw(101, 16, "keys")
    rows, places = torch.arange(30).repeat_interleave(101), torch.arange(101).repeat(30)
    found = pair_similarities(q, keys, rows, places)
    assert len(shapes) > 50
    assert len(set(shapes)) == 1
    assert torch.allclose(found.view(30, 101), q.double() @ normalise(keys).double().T, atol=1e-12, rtol=0)


class Uneven(TorchDispatchMode):
    """Adds up rows in an order that depends on how many there are, as a GPU may."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        x = args[0] if args else None
        if (
            func._schema.name in ("aten::sum", "aten::linalg_vector_norm")
            and isinstance(x, torch.Tensor)
            and x.dim() == 2
        ):
            order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(len(x)))
            args = (x[:, order], *args[1:])
        return func(*args, **(kwargs or {}))


def nine_of_each(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return positions found among keys that stand there nine times, and what they must be for the first."""
    keys, queries = draw(37, 64, "keys").repeat(9, 1).to(device), draw(50, 64, "queries").to(device)
    found = top_k(queries, keys, 30).positions.cpu()
    first = found[:, ::9] % 37
    return found, first.repeat_interleave(9, 1)[:, :30] + 37 * (torch.arange(30) % 9)


@pytest.mark.parametrize("nbytes", [20_000, 50_000, 90_000])
def test_duplicates_in_two_chunks_tie_although_sums_depend_on_the_shape(
    nbytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_room(monkeypatch, nbytes)
    with Uneven():
        found, expected = nine_of_each("cpu")
    assert torch.equal(found, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("nbytes", [20_000, 50_000, 90_000, 2 << 30])
def test_duplicates_in_two_chunks_tie_on_a_card(nbytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_MOST", nbytes)
    found, expected = nine_of_each("cuda")
    assert torch.equal(found, expected)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_key_with_k_equals_before_it_is_not_needed(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [3, 0, 1, 0, 0, 2, 1, 0, 4, 0, 4, 0]
    keys = draw(5, 6, "keys")[rows]
    keys[5, 2] = torch.nan
    expected = [rows[:at].count(row) < k for at, row in enumerate(rows)]
    for nbytes in (1 << 30, 100):
        assert needed(keys, k, HERE, Room(nbytes)).tolist() == expected
        assert needed(keys.half(), k, HERE, Room(nbytes)).tolist() == expected
    # Marks that say too much: what is not equal is not left out.
    monkeypatch.setattr(duplicates, "_marks", lambda keys, device, room: torch.zeros(len(keys), dtype=torch.int64))
    assert needed(draw(9, 6, "others"), k, HERE, Room(100)).all()


@pytest.mark.parametrize("nbytes", [1 << 30, 4000])
@pytest.mark.parametrize("kind", ["gaussian", "ties", "with zeros", "some not a number", "half precision"])
def test_a_threshold_is_reached_as_the_nearest_tells(kind: str, nbytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_room(monkeypatch, nbytes)
    keys, queries = KEYS[kind](300, 16, 0), draw(40, 16, "queries")
    nearest = top_k(queries, keys, 1).similarities[:, 0]
    for threshold in (float(nearest[3]), float(nearest[3]) + 1e-7, 0.5):
        assert torch.equal(reaches(queries, keys, threshold), nearest >= threshold)


def test_a_threshold_takes_no_launch_a_query() -> None:
    keys = draw(2000, 16, "keys").half()
    few, many = (launches(lambda n=n: reaches(draw(n, 16, "queries"), keys, 0.99)) for n in (10, 3000))
    assert few.launched == many.launched
    assert many.launched.total() <= 30


class SearchCall:
    """An engine that finds every second neighbour, and nothing in the last place."""

    name = "asked"

    def search(self, queries: torch.Tensor, keys: torch.Tensor, k: int) -> Neighbours:
        found = top_k(queries, keys, 2 * k)
        positions = found.positions[:, ::2].clone()
        positions[:, -1] = -1
        return Neighbours(positions, found.similarities[:, ::2])


def test_recall_counts_hits_and_takes_no_launch_a_query() -> None:
    keys = draw(100, 16, "keys")
    # Of the ten nearest it finds 0, 2, 4, 6 and 8.
    assert recall_at(SearchCall(), draw(64, 16, "queries"), keys, 10) == 0.5
    assert recall_at(SearchCall(), draw(64, 16, "queries"), keys, 5) == 3 / 5
    few, many = (launches(lambda n=n: recall_at(SearchCall(), draw(n, 16, "queries"), keys, 10)) for n in (8, 64))
    assert few.launched == many.launched


def test_a_kept_product_is_no_matter_of_a_gpu() -> None:
    engine = Exact("int8")
    found = engine.search(draw(300, 64, "queries"), draw(20_000, 64, "keys"), 2)
    assert found.by == ("exact-fp32",)
    assert not engine._kept
