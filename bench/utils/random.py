"""Order-independent random streams.

Every draw comes from a generator whose key is a hash of the seed and of what the draw is for, so that neither
the order of calls nor the presence of other methods changes it. There is no global random state.

There are two derivations of keys. :class:`Stream` is the one to use. :func:`labelled_generator` is that of the bundled
glyphs, whose pixels and whose encoder's weights depend on its every bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
        text = "\x1f".join(repr(_plain(part)) for part in (self.seed, *self.path))
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
        """Return a random order of ``range(n)``, int64 [n]; for things with names, see :meth:`order`."""
        return self.numpy().permutation(n)

    def marks(self, names: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return a random number of each name, uint64 [n], that neither its place nor the other names change."""
        return marks_of(names, int.from_bytes(self.key()[:8], "big"))

    def order(self, names: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return positions of names in a random order, int64 [n]: by :meth:`marks`.

        So the same names come in the same order wherever they stand, and leaving some out leaves the others' order.
        """
        return np.argsort(self.marks(names), kind="stable")

    def shares(self, names: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return a number from 0 to below 1 for each name, float64 [n]: :meth:`marks` as shares."""
        return (self.marks(names) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _plain(part: str | int) -> str | int:
    """Return a part of a path as Python's own type: numpy's equal ones print otherwise, and by version."""
    if isinstance(part, str):
        return str(part)
    return part if isinstance(part, int) else int(part)


def marks_of(names: Sequence[str] | np.ndarray, key: int) -> np.ndarray:
    """Return a hash of 64 bits of each name under a key, uint64 [n]; neither place nor array type counts.

    Every character is added to the state, which is then mixed by the finaliser of SplitMix64 (Steele, Lea and Flood,
    OOPSLA 2014): all names at once, so that a million take half a second.
    """
    array = np.asarray(names, dtype=np.str_)
    width = array.dtype.itemsize // 4
    characters = np.ascontiguousarray(array).view(np.uint32).reshape(len(array), width) if width else None
    state: np.ndarray = _mixed(np.full(len(array), key, dtype=np.uint64))
    for place in range(width):
        assert characters is not None
        one = characters[:, place].astype(np.uint64)
        # Shorter names are filled up with zeros, which depends on the other names.
        state = np.where(one == 0, state, _mixed(state + one))
    return state


def _mixed(state: np.ndarray) -> np.ndarray:
    """Return the output of SplitMix64 for its next state; numbers wrap at 2^64."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed


def labelled_key(*labels: str | int) -> bytes:
    """Return the 32 bytes that stand for a tuple of labels, for example ``(seed, "draw", "train", "U+0041", 3)``.

    They are the SHA-256 of the labels with their types and lengths, so that no two tuples share an encoding.
    """
    state = hashlib.sha256()
    for label in labels:
        plain = _plain(label)
        text = f"{type(plain).__name__}:{plain}".encode()
        state.update(len(text).to_bytes(4, "big"))
        state.update(text)
    return state.digest()


def labelled_generator(*labels: str | int) -> np.random.Generator:
    """Return a fresh NumPy generator at the start of the draws of a tuple of labels."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(labelled_key(*labels)[:16], "big")))
