"""File and perceptual hashes of the images behind a pack's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.data.manifest import read_manifest
from bench.data.pack import decode_strings, read_arrays

BITS = 4
"""Bits of 64 by which perceptual hashes of near-duplicates may differ: re-encoded and resized copies stay within."""


@dataclass(frozen=True)
class Pixels:
    """What a pack knows of the files behind its features, by item id.

    Attributes
    ----------
    content : mapping of str to str
        SHA-256 of the file.
    perceptual : mapping of str to bytes
        Perceptual hash, 8 bytes.
    """

    content: Mapping[str, str]
    perceptual: Mapping[str, bytes]

    def name(self, item: str) -> str:
        """Return the name under which an item's hashes are kept: a memory item ``PACK:SPLIT:ID`` is known by its id."""
        return item if item in self.content else item.split(":", 2)[-1]

    def same_file(self, a: str, b: str) -> bool:
        """Return whether two items are known to have equal files."""
        known = self.content.get(self.name(a))
        return known is not None and known == self.content.get(self.name(b))

    def bits_apart(self, a: str, b: str) -> int:
        """Return by how many of 64 bits two perceptual hashes differ; 64 where one is unknown."""
        first, second = (self.perceptual.get(self.name(item)) for item in (a, b))
        if first is None or second is None:
            return 64
        return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_count()

    def signs(self, ids: Sequence[str]) -> tuple[Tensor, list[int]]:
        """Return the perceptual hashes of items as signs, float32 [n, 64], and the positions that have one.

        Of two hashes as vectors of signs the cosine is 1 - 2 bits / 64, so a search by cosine finds the nearest.
        """
        names = [self.name(item) for item in ids]
        rows = [row for row, name in enumerate(names) if name in self.perceptual]
        raw = np.frombuffer(b"".join(self.perceptual[names[row]] for row in rows), np.uint8).reshape(-1, 8)
        return torch.from_numpy(np.unpackbits(raw, axis=1).astype(np.float32) * 2 - 1), rows


def read_pixels(folder: Path) -> Pixels:
    """Return the file and perceptual hashes that a pack made from images holds; empty for other packs."""
    content: dict[str, str] = {}
    perceptual: dict[str, bytes] = {}
    for entry in read_manifest(folder)["splits"].values():
        arrays = read_arrays(folder, entry)
        if not {"ids", "content", "perceptual"} <= set(arrays):
            continue
        for item, file_hash, bits in zip(
            decode_strings(arrays["ids"]).tolist(), arrays["content"].numpy(), arrays["perceptual"].numpy(), strict=True
        ):
            content[item], perceptual[item] = file_hash.tobytes().hex(), bits.tobytes()
    return Pixels(content, perceptual)
