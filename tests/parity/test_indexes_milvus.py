"""Milvus behind the same interface, on the embedded one."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
import torch

from bench.search import top_k
from bench.search.approximate import milvus
from bench.search.approximate.by_name import named_engine
from bench.search.approximate.engine import Approximate
from bench.search.approximate.milvus import Milvus, connect
from bench.search.approximate.recall import Recalls
from bench.search.query_log import SearchCall
from bench.utils.errors import BenchError
from bench.utils.random import Stream

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")


def draw(n: int, purpose: str) -> torch.Tensor:
    return torch.from_numpy(Stream(0).child("milvus", purpose).numpy().standard_normal((n, 16))).float()


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "items.db")
    milvus._client(str(tmp_path / "items.db")).close()
    milvus._client.cache_clear()


def test_the_bytes_that_milvus_keeps_are_null_and_not_zero(uri: str) -> None:
    queries, keys = draw(9, "queries"), draw(60, "keys")
    engine = Approximate(Milvus(uri=uri))
    row = Recalls(engine).row(0, queries, [queries], [SearchCall(queries, keys, 5, ("milvus",))])
    (details,) = json.loads(row["search_details"])
    assert details["recall"] == 1
    assert details["index_bytes"] is None


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_answers_are_those_of_exact_search(
    uri: str, index: Literal["flat", "hnsw"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "_INSERTED", 100)
    monkeypatch.setattr(milvus, "_ASKED", 4)
    queries, keys = draw(9, "queries"), draw(350, "keys").half()
    found = Approximate(Milvus(uri=uri, index=index, ef=350)).search(queries, keys, 7)
    exact = top_k(queries, keys, 7)
    assert torch.equal(found.positions, exact.positions)
    assert torch.equal(found.similarities, exact.similarities)


def test_k_above_the_number_of_items_gives_all(uri: str) -> None:
    queries, keys = draw(3, "queries"), draw(20, "keys")
    assert torch.equal(
        named_engine(f"milvus:{uri}").search(queries, keys, 99).positions, top_k(queries, keys, 99).positions
    )


def test_what_is_added_is_found_and_what_is_removed_is_not(uri: str) -> None:
    keys, new = draw(60, "keys"), draw(2, "new")
    index = Milvus(uri=uri).open(keys)
    index.add(new)
    assert len(index) == 62
    assert index.candidates(new, 1).squeeze(1).tolist() == [60, 61]
    index.remove([60, 3])
    assert len(index) == 60
    left = index.candidates(draw(5, "queries"), 62)
    assert not {60, 3} & set(left.flatten().tolist())
    assert (left[:, 60:] == -1).all()
    with pytest.raises(BenchError, match="no vector at position 3"):
        index.remove([3])


def test_a_collection_is_kept_for_its_memory_and_made_again_when_it_is_not_whole(uri: str) -> None:
    keys = draw(60, "keys")
    first = Milvus(uri=uri).open(keys)
    assert milvus._client(uri).list_collections() == [first._name]  # type: ignore[attr-defined]
    assert len(Milvus(uri=uri).open(keys.clone())) == 60
    assert len(milvus._client(uri).list_collections()) == 1
    first.remove([0])
    assert len(Milvus(uri=uri).open(keys)) == 60
    Milvus(uri=uri).open(keys[1:])
    assert len(milvus._client(uri).list_collections()) == 2


def test_the_address_is_no_part_of_the_name_but_tells_engines_apart(tmp_path: Path) -> None:
    here, there = (named_engine(f"milvus:{tmp_path / name}:index=hnsw:ef=64") for name in ("a.db", "b.db"))
    assert here.name == "milvus:index=hnsw:ef=64:candidates=128"
    assert here.name == there.name
    assert here != there


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("milvus", "needs an address"),
        ("milvus:index=flat", "needs an address"),
        ("milvus:items.sqlite", "neither FILE.db nor"),
        ("milvus:http://127.0.0.1:9:index=ivf", "'flat' or 'hnsw'"),
        ("milvus:http://user:word@localhost:19530", "put user and password into MILVUS_TOKEN"),
        ("milvus:http://127.0.0.1:9", "no Milvus answers at http://127.0.0.1:9"),
    ],
)
def test_a_wrong_address_is_one_line(text: str, message: str) -> None:
    with pytest.raises(BenchError, match=message) as error:
        named_engine(text)
    assert "\n" not in str(error.value)


def test_a_server_that_goes_away_is_one_line(uri: str) -> None:
    index = Milvus(uri=uri).open(draw(20, "keys"))
    milvus._client(uri).drop_collection(index._name)  # type: ignore[attr-defined]
    with pytest.raises(BenchError, match="Milvus at") as error:
        index.candidates(draw(2, "queries"), 3)
    assert "\n" not in str(error.value)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymilvus", None)
    with pytest.raises(BenchError, match=r"pip install 'retrieval-bench\[milvus\]'"):
        connect("items.db")


def test_a_collection_larger_than_the_disk_is_refused_before_it_is_made(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Approximate(Milvus(uri=uri))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(BenchError, match=r"the collection takes .* free some space"):
        engine.search(draw(2, "queries"), draw(300, "keys"), 3)
    assert not milvus._client(uri).list_collections()


def test_a_disk_that_fills_is_one_line_and_leaves_no_part_of_a_collection(
    uri: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from milvus_lite.engine.collection import Collection

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Collection, "_apply", full)
    with pytest.raises(BenchError, match="No space left on device; look at the server"):
        Approximate(Milvus(uri=uri)).search(draw(2, "queries"), draw(300, "keys"), 3)
    assert capfd.readouterr().err == ""
    assert not milvus._client(uri).list_collections()
