"""Limits of a server: what one request may hold, and how many requests there may be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.utils.errors import BenchError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes.

    Attributes
    ----------
    request_bytes : int
        Of the body of a request.
    pixels : int
        Of an image.
    images : int
        Images, or rows of features, in a request.
    per_second : float
        Images and rows a second, over time.
    burst : int
        Images and rows at once.
    waiting : int
        Requests that are being answered or wait for it.
    seconds : float
        For a request's body to arrive.
    """

    request_bytes: int = 20 * 2**20
    pixels: int = 40_000_000
    images: int = 64
    per_second: float = 100.0
    burst: int = 200
    waiting: int = 64
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise BenchError(
                    f"a limit of {value:g} {name.replace('_', ' ')} lets nothing through; give more than 0"
                )
        if self.burst < self.images:
            raise BenchError(f"a burst of {self.burst} is less than the {self.images} images of one request; give more")


@dataclass(eq=False)
class Bucket:
    """A bucket of tokens that fills at a rate: each image or row takes one.

    Attributes
    ----------
    rate : float
        Tokens a second.
    size : float
        Tokens at most.
    clock : callable
        Seconds, from any start.
    """

    rate: float
    size: float
    clock: Callable[[], float] = time.monotonic
    _tokens: float = field(init=False)
    _at: float = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._tokens, self._at = self.size, self.clock()

    def take(self, count: float) -> float:
        """Take tokens and return 0, or take none and return the seconds until there are enough."""
        with self._lock:
            now = self.clock()
            self._tokens = min(self.size, self._tokens + (now - self._at) * self.rate)
            self._at = now
            if self._tokens >= count:
                self._tokens -= count
                return 0.0
            return (count - self._tokens) / self.rate
