"""The kinds of faiss index: a graph, inverted lists of product codes, and one byte a dimension."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import faiss
import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from bench.search.approximate.engine import VectorIndex
from bench.search.approximate.faiss_index import FaissIndex, one_thread, swig, unit
from bench.search.approximate.faiss_store import cached_index
from bench.search.registry import search_engine
from bench.utils.errors import BenchError
from bench.utils.random import Stream

_TRAINING_POINTS = 64
"""Vectors a centroid is trained on; faiss asks for at least 39."""
_CODES = 256
"""Centroids that one byte tells apart."""


def sample(keys: Tensor, count: int, purpose: str) -> np.ndarray:
    """Return ``min(count, m)`` random keys as float32 unit rows, the same for the same m and purpose."""
    rows = np.sort(Stream(0).child("index", purpose).permutation(len(keys))[:count])
    return unit(keys[torch.from_numpy(rows).to(keys.device)])


class FaissRecipe(ABC):
    """What the kinds share: how an index is made, kept and opened.

    faiss draws from generators of fixed seeds and is trained on a sample from a fixed stream by one thread, so the
    same keys give the same index on the same machine and version. Codes are computed vector by vector, by as many
    threads as there are; a graph depends on the order of its insertions and is therefore built by one.
    """

    kind: str
    candidates: int
    least: int
    parameters: type[Any]
    threads_race = False
    """Whether threads that add at once change the index."""

    @property
    @abstractmethod
    def building(self) -> dict[str, int | None]:
        """The parameters that shape the index, without those of a search."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, int]:
        """The parameters of faiss at every search."""

    @abstractmethod
    def trained(self, keys: Tensor) -> Any:
        """Return an empty faiss index for vectors like the keys."""

    @abstractmethod
    def item_bytes(self, dimension: int) -> int:
        """Return how many bytes a vector takes in the index, about."""

    def check(self) -> None:  # noqa: B027 - not abstract
        """Return: faiss is always there, and which keys suit a kind is seen when they come."""

    def build(self, keys: Tensor) -> FaissIndex:
        """Return an index of the keys, in memory."""
        with one_thread():
            made = FaissIndex(self.trained(keys), parameters=self.parameters, settings=self.settings)
        with one_thread() if self.threads_race else nullcontext():
            made.add(keys)
        return made

    def open(self, keys: Tensor) -> VectorIndex:
        """Return the index of the keys: the one in the cache, memory-mapped, or one made now."""
        return cached_index(self, keys)


@search_engine("hnsw")
@dataclass(frozen=True, kw_only=True)
class HNSW(FaissRecipe):
    """A navigable graph over float16 vectors.

    Malkov and Yashunin, Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable Small
    World Graphs, TPAMI 2020, arXiv:1603.09320. Here by inner product of unit vectors, and vectors are rounded to
    float16 inside the graph.

    Attributes
    ----------
    m : int
        Links of a vector (twice as many in the lowest layer).
    build_ef, ef : int
        Length of the list of candidates when a vector is inserted, and when a query is searched.
    candidates : int
        How many are compared exactly.
    """

    m: Annotated[int, Ge(2)] = 32
    build_ef: Annotated[int, Ge(1)] = 128
    ef: Annotated[int, Ge(1)] = 128
    candidates: Annotated[int, Ge(1)] = 128

    kind = "hnsw"
    least = 1
    parameters = swig.SearchParametersHNSW
    threads_race = True

    @property
    def building(self) -> dict[str, int | None]:
        """The parameters of the graph."""
        return {"m": self.m, "build_ef": self.build_ef}

    @property
    def settings(self) -> dict[str, int]:
        """The length of the list of candidates."""
        return {"efSearch": self.ef}

    def trained(self, keys: Tensor) -> Any:
        """Return an empty graph."""
        index = swig.IndexHNSWSQ(keys.shape[1], faiss.ScalarQuantizer.QT_fp16, self.m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self.build_ef
        index.train(sample(keys, 1, self.kind))
        return index

    def item_bytes(self, dimension: int) -> int:
        """Return two bytes a dimension and four a link."""
        return 2 * dimension + 4 * 2 * self.m + 16


@search_engine("ivfpq")
@dataclass(frozen=True, kw_only=True)
class IVFPQ(FaissRecipe):
    """Inverted lists of product codes of what is left after the list's centroid.

    Jegou et al., Product Quantization for Nearest Neighbor Search, TPAMI 2011, section 4.

    Attributes
    ----------
    lists : int or None
        Inverted lists; None takes the power of two nearest to the square root of the number of items.
    probe : int
        Lists that are searched for a query.
    code_bytes : int or None
        Bytes of a code; must divide d. None takes the largest divisor of d that is at most d / 8.
    candidates : int
        How many are compared exactly.
    """

    lists: Annotated[int, Ge(1)] | None = None
    probe: Annotated[int, Ge(1)] = 64
    code_bytes: Annotated[int, Ge(1)] | None = None
    candidates: Annotated[int, Ge(1)] = 128

    kind = "ivfpq"
    least = 39 * _CODES
    parameters = faiss.SearchParametersIVF

    @property
    def building(self) -> dict[str, int | None]:
        """The parameters of the lists and codes."""
        return {"lists": self.lists, "code_bytes": self.code_bytes}

    @property
    def settings(self) -> dict[str, int]:
        """The lists that are searched."""
        return {"nprobe": self.probe}

    def trained(self, keys: Tensor) -> Any:
        """Return empty lists with trained centroids and codes."""
        m, d = keys.shape
        lists = self.lists or 2 ** round(np.log2(m) / 2)
        if lists > m // 39:
            raise BenchError(f"--search ivfpq: {lists} lists are too many for {m} items; ask for at most {m // 39}")
        quantizer = faiss.IndexFlatIP(d)
        index = faiss.IndexIVFPQ(quantizer, d, lists, self._code_bytes(d), 8, faiss.METRIC_INNER_PRODUCT)
        # Ten rounds of k-means: more cost as much again and move recall by less than its sampling error.
        index.cp.niter = index.pq.cp.niter = 10
        index.cp.max_points_per_centroid = _TRAINING_POINTS
        index.train(sample(keys, _TRAINING_POINTS * max(lists, _CODES), self.kind))
        return index

    def _code_bytes(self, dimension: int) -> int:
        if self.code_bytes is None:
            return next(b for b in range(max(1, dimension // 8), 0, -1) if dimension % b == 0)
        if dimension % self.code_bytes:
            raise BenchError(f"--search ivfpq: code_bytes={self.code_bytes} does not divide d = {dimension}")
        return self.code_bytes

    def item_bytes(self, dimension: int) -> int:
        """Return the bytes of a code and of its position."""
        return self._code_bytes(dimension) + 8


@search_engine("sq8")
@dataclass(frozen=True, kw_only=True)
class SQ8(FaissRecipe):
    """Every vector in one byte a dimension, all of them compared.

    A dimension's range is that of a sample; values are rounded to 256 steps of it.

    Attributes
    ----------
    candidates : int
        How many are compared exactly.
    """

    candidates: Annotated[int, Ge(1)] = 128

    kind = "sq8"
    least = 1
    parameters = faiss.SearchParameters

    @property
    def building(self) -> dict[str, int | None]:
        """Nothing is chosen."""
        return {}

    @property
    def settings(self) -> dict[str, int]:
        """Nothing is chosen."""
        return {}

    def trained(self, keys: Tensor) -> Any:
        """Return an empty index with the range of each dimension."""
        index = faiss.IndexScalarQuantizer(keys.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        index.train(sample(keys, 1 << 16, self.kind))
        return index

    def item_bytes(self, dimension: int) -> int:
        """Return one byte a dimension."""
        return dimension
