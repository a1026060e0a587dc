"""Order-independent random streams.

Every draw comes from a generator whose key is a hash of the seed and of what the draw is for, so that neither
the order of calls nor the presence of other methods changes it. There is no global random state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Stream:
    """A named source of randomness: a seed and the path of purposes that leads to a draw.

    Two streams with the same seed and path give the same numbers; any other two are independent.
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def child(self, *purpose: str | int) -> Stream:
        """Return the stream for a narrower purpose, e.g. ``stream.child("shots", class_id)``."""
        return Stream(self.seed, self.path + purpose)

    def key(self) -> bytes:
        """Return the 32 bytes that every draw of this stream comes from."""
        # repr keeps 1 and "1" apart, and the separator keeps ("ab",) and ("a", "b") apart.
        text = "\x1f".join(repr(part) for part in (self.seed, *self.path))
        return hashlib.sha256(text.encode()).digest()

    def numpy(self) -> np.random.Generator:
        """Return a fresh NumPy generator at the start of this stream."""
        return np.random.Generator(np.random.Philox(key=np.frombuffer(self.key()[:16], np.uint64)))

    def torch(self) -> torch.Generator:
        """Return a fresh CPU torch generator at the start of this stream."""
        # Imported when first asked for: reports draw too, and do not wait for torch.
        import torch

        return torch.Generator().manual_seed(int.from_bytes(self.key()[:7], "big"))

    def permutation(self, n: int) -> np.ndarray:
        """Return a random order of ``range(n)``, int64 [n]."""
        return self.numpy().permutation(n)
