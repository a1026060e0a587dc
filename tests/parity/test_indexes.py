"""Approximate engines against exact search: recall, true similarities, changes, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench.data.cache_listing import list_spaces, prune
from bench.functional.classwise import normalise
from bench.search import Exact, Index, engine, top_k
from bench.search.approximate import faiss_store
from bench.search.approximate.by_name import named_engine
from bench.search.approximate.engine import Approximate, rank
from bench.search.approximate.faiss_recipes import HNSW, IVFPQ, SQ8, FaissRecipe
from bench.search.approximate.recall import recall_at
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.random import Stream

KINDS: dict[str, FaissRecipe] = {
    "hnsw": HNSW(m=8, build_ef=32, ef=64, candidates=64),
    "ivfpq": IVFPQ(lists=16, probe=8, candidates=256),
    "sq8": SQ8(candidates=64),
}
FLOOR = {"hnsw": 0.9, "ivfpq": 0.8, "sq8": 0.99}
"""Recall at 10 that each kind reaches on the clustered data below, with room to spare."""

Kind = pytest.mark.parametrize("kind", list(KINDS))


def clustered(n: int, purpose: str, *, classes: int = 40, d: int = 32, spread: float = 0.15) -> torch.Tensor:
    """Return points around class centres, of scales that normalising must undo."""
    draw = Stream(0).child("indexes", purpose).numpy()
    centres = Stream(0).child("indexes", "centres").numpy().standard_normal((classes, d)) / d**0.5
    x = centres[draw.integers(classes, size=n)] + spread * draw.standard_normal((n, d))
    return torch.from_numpy(x * draw.uniform(0.5, 2, (n, 1))).float()


@pytest.fixture(scope="module")
def keys() -> torch.Tensor:
    return clustered(12_000, "keys").half()


@pytest.fixture(scope="module")
def queries() -> torch.Tensor:
    return clustered(50, "queries")


@pytest.fixture(scope="module")
def engines(keys: torch.Tensor) -> dict[str, Approximate]:
    made = {kind: Approximate(recipe) for kind, recipe in KINDS.items()}
    for each in made.values():
        each.prepare(keys)
    return made


@Kind
def test_recall_and_true_similarities(
    kind: str, engines: dict[str, Approximate], keys: torch.Tensor, queries: torch.Tensor
) -> None:
    found = engines[kind].search(queries, keys, 10)
    recall = recall_at(engines[kind], queries, keys, 10)
    assert recall is not None
    assert FLOOR[kind] <= recall <= 1
    true = (
        normalise(queries).double().unsqueeze(1) * normalise(keys[found.positions.reshape(-1)]).view(50, 10, -1)
    ).sum(-1)
    torch.testing.assert_close(found.similarities, true.float(), rtol=0, atol=1e-6)
    assert (found.similarities.diff(dim=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in found.positions.tolist())


@Kind
def test_fewer_neighbours_are_the_first_of_more(
    kind: str, engines: dict[str, Approximate], keys: torch.Tensor, queries: torch.Tensor
) -> None:
    many, few = engines[kind].search(queries, keys, 20), engines[kind].search(queries, keys, 3)
    assert torch.equal(few.positions, many.positions[:, :3])


@Kind
def test_k_above_the_number_of_items_gives_all_as_exact_search_does(kind: str, queries: torch.Tensor) -> None:
    few = clustered(30, "few")
    found, exact = Approximate(KINDS[kind]).search(queries, few, 99), top_k(queries, few, 99)
    assert found.positions.shape == (50, 30)
    assert torch.equal(found.positions, exact.positions)
    assert torch.equal(found.similarities, exact.similarities)


@Kind
def test_two_builds_answer_alike(
    kind: str, engines: dict[str, Approximate], keys: torch.Tensor, queries: torch.Tensor
) -> None:
    again = Approximate(KINDS[kind]).search(queries, keys, 10)
    assert torch.equal(again.positions, engines[kind].search(queries, keys, 10).positions)


@Kind
def test_what_is_added_is_found_and_what_is_removed_is_not(kind: str, queries: torch.Tensor) -> None:
    old, new = clustered(11_000, "old"), queries[:5]
    index = KINDS[kind].build(old)
    index.add(new)
    assert len(index) == 11_005
    first = rank(normalise(new), torch.cat([old, new]), index.candidates(new, 64), 1)[0].squeeze(1)
    assert first.tolist() == [11_000, 11_001, 11_002, 11_003, 11_004]
    gone = set(index.candidates(queries, 64)[:, :20].flatten().tolist()) - {-1}
    index.remove(gone)
    assert len(index) == 11_005 - len(gone)
    after = set(index.candidates(queries, 64).flatten().tolist())
    assert after - {-1}
    assert not after & gone
    with pytest.raises(BenchError, match="no vector at position"):
        index.remove([min(gone)])
    with pytest.raises(BenchError, match="no vector at position 11005"):
        index.remove([11_005])


@Kind
def test_a_saved_index_answers_as_before_and_is_refused_for_another_memory(
    kind: str, tmp_path: Path, queries: torch.Tensor
) -> None:
    memory, recipe = clustered(11_000, "saved"), KINDS[kind]
    index = recipe.build(memory)
    index.remove([3, 5])
    faiss_store.save(index, tmp_path, recipe, digest(memory))
    opened = faiss_store.load(tmp_path, recipe, digest(memory))
    assert torch.equal(opened.candidates(queries, 64), index.candidates(queries, 64))
    assert opened.removed == [3, 5]
    assert opened.nbytes == (tmp_path / "index.faiss").stat().st_size
    opened.add(memory[:1])
    assert len(opened) == 10_999
    assert len(faiss_store.load(tmp_path, recipe, digest(memory))) == 10_998
    with pytest.raises(BenchError, match="indexes another memory"):
        faiss_store.load(tmp_path, recipe, digest(memory[1:]))
    (tmp_path / "index.faiss").write_bytes((tmp_path / "index.faiss").read_bytes()[:-1])
    with pytest.raises(BenchError, match="truncated"):
        faiss_store.load(tmp_path, recipe, digest(memory))


@pytest.mark.parametrize("other", ["as large", "another dimension"])
def test_an_index_in_the_place_of_another_is_refused(tmp_path: Path, other: str) -> None:
    recipe, memories = SQ8(), [clustered(300, "one"), clustered(300, "two")]
    if other == "another dimension":
        memories[1] = memories[1][:, : memories[1].shape[1] // 2]
    files = []
    for place, memory in zip(("one", "two"), memories, strict=True):
        faiss_store.save(recipe.build(memory), tmp_path / place, recipe, digest(memory))
        files.append(tmp_path / place / "index.faiss")
    files[1].replace(files[0])
    with pytest.raises(BenchError, match=r"truncated|is not the index that was written for this memory; delete"):
        faiss_store.load(tmp_path / "one", recipe, digest(memories[0]))
    label = json.loads((tmp_path / "one/index.json").read_text())
    (tmp_path / "one/index.json").write_text(json.dumps(label | {"bytes": files[0].stat().st_size}))
    with pytest.raises(BenchError, match=r"index.faiss is not the index that was written for this memory; delete"):
        faiss_store.load(tmp_path / "one", recipe, digest(memories[0]))


def test_a_saved_index_is_refused_for_other_parameters_and_newer_formats(tmp_path: Path) -> None:
    memory = clustered(100, "saved")
    faiss_store.save(KINDS["hnsw"].build(memory), tmp_path, KINDS["hnsw"], digest(memory))
    with pytest.raises(BenchError, match="not hnsw with"):
        faiss_store.load(tmp_path, HNSW(m=9), digest(memory))
    label = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(label | {"format": 99}))
    with pytest.raises(BenchError, match="newer version"):
        faiss_store.load(tmp_path, KINDS["hnsw"], digest(memory))
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(BenchError, match="damaged"):
        faiss_store.load(tmp_path, KINDS["hnsw"], digest(memory))


def test_indexes_of_large_memories_are_kept_and_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queries: torch.Tensor
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(faiss_store, "WORTH_KEEPING", 1000)
    memory = clustered(1000, "kept")
    built = Approximate(SQ8()).search(queries, memory, 5)
    (folder,) = (tmp_path / "indexes").iterdir()
    written = (folder / "index.faiss").stat().st_mtime_ns
    # The same content in another tensor, as after a restart, has the same fingerprint and needs no new index.
    again = Approximate(SQ8()).search(queries, memory.clone(), 5)
    assert torch.equal(again.positions, built.positions)
    assert (folder / "index.faiss").stat().st_mtime_ns == written
    Approximate(SQ8()).search(queries, clustered(1000, "another"), 5)
    assert len(list((tmp_path / "indexes").iterdir())) == 2
    listed = list_spaces(tmp_path)
    assert [(entry.kind, entry.precision, entry.rows) for entry in listed] == [("index", "sq8", 1000)] * 2
    (folder / "index.json").unlink()
    prune(tmp_path)
    assert len(list((tmp_path / "indexes").iterdir())) == 1


def test_an_index_larger_than_the_disk_is_refused_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queries: torch.Tensor
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(faiss_store, "WORTH_KEEPING", 1000)
    monkeypatch.setattr(SQ8, "item_bytes", lambda self, dimension: 2**60)
    with pytest.raises(BenchError, match=r"the sq8 index takes .* GiB free"):
        Approximate(SQ8()).search(queries, clustered(1000, "kept"), 5)
    assert not (tmp_path / "indexes").exists()


def test_changed_keys_are_indexed_anew(queries: torch.Tensor) -> None:
    memory, approximate = clustered(500, "changing"), Approximate(SQ8())
    approximate.search(queries, memory, 5)
    memory.neg_()
    assert torch.equal(approximate.search(queries, memory, 5).positions, top_k(queries, memory, 5).positions)


def test_the_engine_in_force_answers_for_an_index(keys: torch.Tensor, queries: torch.Tensor) -> None:
    memory, approximate = Index(clustered(500, "index")), Approximate(SQ8())
    with engine(approximate):
        found = memory.search(queries, 5)
    assert torch.equal(found.positions, top_k(queries, memory.keys, 5).positions)
    assert approximate == Approximate(SQ8())
    assert approximate != Approximate(SQ8(candidates=7))


def test_no_queries_and_no_keys() -> None:
    approximate = Approximate(SQ8())
    assert approximate.search(torch.zeros(0, 8), clustered(50, "x", d=8), 5).positions.shape == (0, 5)
    assert approximate.search(clustered(3, "x", d=8), torch.zeros(0, 8), 5).positions.shape == (3, 0)
    assert recall_at(approximate, torch.zeros(0, 8), clustered(50, "x", d=8), 5) is None


def test_recall_is_the_share_of_the_exact_neighbours(queries: torch.Tensor) -> None:
    """An engine that finds exactly the first half of them has recall one half."""

    class Half(Exact):
        def search(self, queries, keys, k):  # type: ignore[no-untyped-def]
            found = top_k(queries, keys, len(keys))
            found.positions[:, k // 2 : k] = found.positions[:, -(k - k // 2) :]
            return found.first(k)

    assert recall_at(Half(), queries, clustered(200, "half"), 10) == 0.5


def test_engines_by_name() -> None:
    assert named_engine("exact") == Exact()
    assert named_engine("exact:product=fp32") == Exact(product="fp32")
    chosen = named_engine("hnsw:m=16:ef=99")
    assert chosen == Approximate(HNSW(m=16, ef=99))
    assert chosen.name == "hnsw:m=16:build_ef=128:ef=99:candidates=128"
    assert named_engine("ivfpq").name == "ivfpq:lists=None:probe=64:code_bytes=None:candidates=128"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hsnw", "unknown search engine 'hsnw'; did you mean 'hnsw'"),
        ("hnsw:16", "'16' is not PARAMETER=VALUE"),
        ("hnsw:links=16", "has no parameter 'links'"),
        ("hnsw:m=0", "greater than or equal to 2"),
        ("exact:fast=1", "--search exact has no parameter 'fast'"),
    ],
)
def test_a_wrong_name_is_one_line(text: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        named_engine(text)


def test_lists_that_the_memory_cannot_train_and_codes_that_do_not_divide() -> None:
    memory = clustered(11_000, "saved")
    with pytest.raises(BenchError, match="at most 282"):
        IVFPQ(lists=1000).build(memory)
    with pytest.raises(BenchError, match="does not divide d = 32"):
        IVFPQ(code_bytes=7).build(memory)
