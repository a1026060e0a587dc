"""Whether this machine is said to be quiet: only then are limits on time checked, and the full sizes run.

A busy machine says nothing of the code, so an ordinary run of the tests checks answers and memory, and no time.
"""

from __future__ import annotations

import os

import pytest

QUIET = bool(os.environ.get("BENCH_FULL_SPEED"))

needs_quiet = pytest.mark.skipif(not QUIET, reason="needs a quiet machine and minutes; set BENCH_FULL_SPEED=1")
