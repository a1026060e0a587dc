"""A faiss index with stable positions: searched in memory or memory-mapped, added to, removed from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from torch import Tensor

from bench.functional.classwise import normalise
from bench.utils.errors import BenchError

swig: Any = faiss
"""faiss where its type stubs describe the C++ signatures and not what Python may call."""
_BLOCK = 1 << 15
"""Vectors that are turned to float32 at a time: 64 MiB at d = 512, whatever the size of the memory."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let faiss use one thread inside the block, so that what it builds does not depend on their race."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def unit(x: Tensor) -> np.ndarray:
    """Return rows of unit norm as faiss takes them, float32 [n, d]."""
    return np.ascontiguousarray(normalise(x.cpu()).numpy())


class FaissIndex:
    """A faiss index of unit vectors by inner product.

    What is removed is marked and passed over by every search; its bytes come back when the index is made anew. So
    every kind of index removes alike, a graph too, which faiss itself cannot take vectors out of.

    Parameters
    ----------
    index : faiss.Index
        Trained; its ids are positions.
    parameters : mapping
        What faiss is told at every search, such as ``efSearch``; ``kind`` is the class of faiss that takes it.
    file : Path, optional
        Where the index is memory-mapped from.
    """

    def __init__(
        self, index: Any, *, parameters: type[Any], settings: dict[str, int], file: Path | None = None
    ) -> None:
        self._index = index
        self._parameters = parameters
        self._settings = settings
        self._file = file
        self._live = np.ones(index.ntotal, dtype=bool)

    @classmethod
    def open(cls, file: Path, *, parameters: type[Any], settings: dict[str, int]) -> FaissIndex:
        """Return an index that was written by :meth:`write`, memory-mapped."""
        try:
            index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise BenchError(
                f"{file} is truncated or damaged ({' '.join(str(error).split())[-80:]}); delete its folder"
            ) from None
        return cls(index, parameters=parameters, settings=settings, file=file)

    def write(self, file: Path) -> None:
        """Write the index without the marks of removed vectors; see :mod:`bench.search.approximate.faiss_store`.

        Raises
        ------
        BenchError
            If it cannot be written, such as on a full disk.
        """
        try:
            faiss.write_index(self._index, str(file))
        except RuntimeError:  # its text names lines of faiss, and not what the system said
            raise BenchError(
                f"the index cannot be written to {file.parent}; free some space or choose another BENCH_CACHE"
            ) from None

    def __len__(self) -> int:
        return int(self._live.sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the file it is mapped from, or that it would take on disk."""
        if self._file is not None:
            return self._file.stat().st_size
        sink = faiss.VectorIOWriter()
        faiss.write_index(self._index, sink)
        return int(sink.data.size())

    @property
    def removed(self) -> list[int]:
        """The positions that were removed, ascending."""
        return [int(p) for p in np.flatnonzero(~self._live)]

    def add(self, x: Tensor) -> None:
        """Add vectors [n, d] behind the present ones, block by block."""
        if self._file is not None:
            # A mapped file cannot grow, so the index is read into memory first.
            self._index, self._file = faiss.read_index(str(self._file)), None
        for start in range(0, len(x), _BLOCK):
            self._index.add(unit(x[start : start + _BLOCK]))
        self._live = np.concatenate([self._live, np.ones(len(x), dtype=bool)])

    def remove(self, positions: Iterable[int]) -> None:
        """Remove the vectors at some positions."""
        wanted = np.unique(np.fromiter(positions, dtype=np.int64))
        strange = [p for p in wanted.tolist() if not 0 <= p < len(self._live) or not self._live[p]]
        if strange:
            raise BenchError(f"the index holds no vector at position {strange[0]}; it has {len(self)} vectors")
        self._live[wanted] = False

    def candidates(self, queries: Tensor, count: int) -> Tensor:
        """Return positions of likely nearest vectors, int64 [q, count]; -1 where there are no more."""
        selector = None
        if not self._live.all():
            bits = np.packbits(self._live, bitorder="little")
            selector = swig.IDSelectorBitmap(bits)
        told = self._parameters(sel=selector, **self._settings)
        return torch.from_numpy(self._index.search(unit(queries), count, params=told)[1])
