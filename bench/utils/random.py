"""Order-independent random streams.

Every draw comes from a generator whose key is a hash of the seed and of what the draw is for, so that neither
the order of calls nor the presence of other methods changes it. There is no global random state.

There are two derivations of keys. :class:`Stream` is the one to use. :func:`labelled_generator` is that of the bundled
glyphs, whose pixels and whose encoder's weights depend on its every bit.
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


def labelled_key(*labels: str | int) -> bytes:
    """Return the 32 bytes that stand for a tuple of labels, for example ``(seed, "draw", "train", "U+0041", 3)``.

    They are the SHA-256 of the labels with their types and lengths, so that no two tuples share an encoding.
    """
    state = hashlib.sha256()
    for label in labels:
        text = f"{type(label).__name__}:{label}".encode()
        state.update(len(text).to_bytes(4, "big"))
        state.update(text)
    return state.digest()


def labelled_generator(*labels: str | int) -> np.random.Generator:
    """Return a fresh NumPy generator at the start of the draws of a tuple of labels."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(labelled_key(*labels)[:16], "big")))
