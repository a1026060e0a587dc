"""Numbers of a server in the text format of Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds up to which requests are counted."""


class Metrics:
    """Counts requests by route and status, images, edits, and seconds of requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._images = 0
        self._edits = 0

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        with self._lock:
            self._requests[route, status] += 1
            self._buckets[bisect_left(BOUNDS, seconds)] += 1
            self._seconds += seconds

    def answered(self, images: int) -> None:
        """Count images and rows that were answered."""
        with self._lock:
            self._images += images

    def edited(self) -> None:
        """Count an edit."""
        with self._lock:
            self._edits += 1

    def text(self, items: int) -> str:
        """Return all numbers; ``items`` is how many the classifier holds now."""
        with self._lock:
            lines = ["# HELP bench_requests_total Requests by route and status.", "# TYPE bench_requests_total counter"]
            lines += [
                f'bench_requests_total{{route="{route}",status="{status}"}} {count}'
                for (route, status), count in sorted(self._requests.items())
            ]
            lines += ["# HELP bench_request_seconds Seconds of a request.", "# TYPE bench_request_seconds histogram"]
            total = 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._buckets, strict=True):
                total += count
                lines.append(f'bench_request_seconds_bucket{{le="{bound}"}} {total}')
            lines += [f"bench_request_seconds_sum {self._seconds:.6f}", f"bench_request_seconds_count {total}"]
            for name, kind, words, value in (
                ("bench_images_total", "counter", "Images and rows of features that were answered.", self._images),
                ("bench_edits_total", "counter", "Edits of the classifier.", self._edits),
                ("bench_items", "gauge", "Items that the classifier holds.", items),
            ):
                lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"
