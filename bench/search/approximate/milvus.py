"""Milvus, a vector database, behind the same interface: embedded in a file, or a server.

A collection holds the vectors of one memory and is named by its fingerprint, so another memory never meets it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import torch
from annotated_types import Ge
from torch import Tensor

from bench.search.approximate.engine import VectorIndex
from bench.search.approximate.faiss_index import unit
from bench.search.registry import search_engine
from bench.utils.atomic import require_space
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.names import require_no_secret

TOKEN = "MILVUS_TOKEN"
"""Environment variable with a server's token; it goes into no record."""
_INSERTED = 4096
"""Vectors in one message: 8 MiB at d = 512, far below the 64 MiB that a server takes."""
_ASKED = 256
_SECONDS = 10.0
"""How long an address has to answer."""
_CHANNEL = {"grpc.keepalive_permit_without_calls": False}
"""A client that asks again and again whether a server is there, while it has no question, is sent away by and by."""


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn an error of Milvus into one line, and keep it from logging the same with its traceback."""
    from pymilvus import MilvusException

    loggers = [logging.getLogger(name) for name in ("pymilvus", "milvus_lite")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except MilvusException as error:
        text = " ".join(str(error.message or error).split())
        raise BenchError(f"Milvus at {uri}: {text[:200]}; look at the server, or choose another --search") from None
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_file(uri: str) -> bool:
    return not urlsplit(uri).scheme


def connect(uri: str) -> Any:
    """Return a client of an address.

    Raises
    ------
    BenchError
        If the package is not installed, or nothing answers.
    """
    if not _is_file(uri):
        require_no_secret(uri, "--search milvus", instead=f"put user and password into {TOKEN}")
    try:
        from pymilvus import MilvusClient, MilvusException
    except ImportError:
        raise BenchError("--search milvus needs pymilvus; pip install 'retrieval-bench[milvus]'") from None
    if _is_file(uri):
        if Path(uri).suffix != ".db":
            raise BenchError(f"--search milvus:{uri} is neither FILE.db nor http://HOST:PORT; write one of them")
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
    try:
        return MilvusClient(uri, token=os.environ.get(TOKEN, ""), timeout=_SECONDS, grpc_options=_CHANNEL)
    except (MilvusException, OSError, ValueError) as error:
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise BenchError(
            f"no Milvus answers at {uri} ({reason[:120]}); start the server, or name a FILE.db for the embedded one"
        ) from None


class Collection:
    """The vectors of one memory in Milvus.

    Parameters
    ----------
    client : MilvusClient
    uri : str
        Its address, for messages.
    name : str
        Of the collection.
    settings : mapping
        What Milvus is told at every search.
    """

    nbytes = None
    """Milvus keeps the vectors and does not say in how many bytes."""

    def __init__(self, client: Any, uri: str, name: str, settings: dict[str, int]) -> None:
        self._client = client
        self._uri = uri
        self._name = name
        self._settings = settings
        self._next = len(self)

    def __len__(self) -> int:
        with _explained(self._uri):
            found = self._client.query(self._name, filter="", output_fields=["count(*)"], consistency_level="Strong")
        return int(found[0]["count(*)"])

    def add(self, x: Tensor) -> None:
        """Add vectors [n, d] behind the present ones, in batches."""
        for start in range(0, len(x), _INSERTED):
            rows = unit(x[start : start + _INSERTED])
            batch = [{"position": self._next + n, "x": row} for n, row in enumerate(rows)]
            with _explained(self._uri):
                self._client.insert(self._name, batch)
            self._next += len(rows)

    def remove(self, positions: Iterable[int]) -> None:
        """Remove the vectors at some positions."""
        wanted = sorted(set(positions))
        if not wanted:
            return
        with _explained(self._uri):
            there = self._client.get(self._name, ids=wanted, output_fields=["position"])
        missing = sorted(set(wanted) - {int(row["position"]) for row in there})
        if missing:
            raise BenchError(f"the index holds no vector at position {missing[0]}; it has {len(self)} vectors")
        with _explained(self._uri):
            self._client.delete(self._name, ids=wanted)

    def candidates(self, queries: Tensor, count: int) -> Tensor:
        """Return positions of likely nearest vectors, int64 [q, count]; -1 where there are no more."""
        found = torch.full((len(queries), count), -1, dtype=torch.int64)
        rows = unit(queries)
        for start in range(0, len(rows), _ASKED):
            with _explained(self._uri):
                answers = self._client.search(
                    self._name,
                    data=list(rows[start : start + _ASKED]),
                    limit=count,
                    anns_field="x",
                    output_fields=["position"],
                    search_params={"metric_type": "COSINE", "params": self._settings},
                    consistency_level="Strong",
                )
            for row, hits in enumerate(answers, start):
                places = [int(hit["position"]) for hit in hits]
                found[row, : len(places)] = torch.tensor(places, dtype=torch.int64)
        return found


@cache
def _client(uri: str) -> Any:
    return connect(uri)


@search_engine("milvus", address="uri", form="milvus:FILE.db or milvus:http://HOST:19530")
@dataclass(frozen=True, kw_only=True)
class Milvus:
    """A collection in Milvus, by cosine.

    Attributes
    ----------
    uri : str
        ``FILE.db`` for the embedded one, or the ``http://HOST:PORT`` of a server; no part of the engine's name.
    index : str
        ``flat`` compares all vectors; ``hnsw`` searches a graph with 32 links a vector.
    ef : int
        Length of the graph's list of candidates.
    candidates : int
        How many are compared exactly.
    """

    uri: str = field(metadata={"param": False})
    index: Literal["flat", "hnsw"] = "flat"
    ef: Annotated[int, Ge(1)] = 128
    candidates: Annotated[int, Ge(1)] = 128

    kind = "milvus"
    least = 1

    def check(self) -> None:
        """Raise :class:`BenchError` if the address does not answer."""
        # Closed again: a process that is forked from this one needs a connection of its own.
        connect(self.uri).close()

    def open(self, keys: Tensor) -> VectorIndex:
        """Return the collection of the keys; one that is not there, or not whole, is made."""
        client, m, d = _client(self.uri), len(keys), int(keys.shape[1])
        name = f"bench_{self.index}_{digest(keys)}"
        settings = {"ef": self.ef} if self.index == "hnsw" else {}
        with _explained(self.uri):
            if client.has_collection(name):
                client.load_collection(name)
                there = Collection(client, self.uri, name, settings)
                if len(there) == m:
                    return there
                client.drop_collection(name)
        if _is_file(self.uri):
            # float32 vectors, positions and what frames them go into a log first, which stays until they are in a file.
            require_space(Path(self.uri), 2 * m * (4 * d + 24), what="the collection")
        with _explained(self.uri):
            self._create(client, name, d)
        made = Collection(client, self.uri, name, settings)
        try:
            made.add(keys)
        except BaseException:
            with suppress(Exception):
                client.drop_collection(name)
            raise
        return made

    def _create(self, client: Any, name: str, dimension: int) -> None:
        from pymilvus import DataType

        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("position", DataType.INT64, is_primary=True)
        schema.add_field("x", DataType.FLOAT_VECTOR, dim=dimension)
        index = client.prepare_index_params()
        graph = {"M": 32, "efConstruction": 128} if self.index == "hnsw" else {}
        index.add_index("x", index_type=self.index.upper(), metric_type="COSINE", params=graph)
        client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
        client.load_collection(name)
