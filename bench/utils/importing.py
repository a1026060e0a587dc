"""Importing what is large in less time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def large_imports(*, forget: bool = True) -> Iterator[None]:
    """Import without looking for garbage in between, and never look through what was imported afterwards.

    A module makes a great many objects that stay. Python's collector goes through all of them again and again while
    torch is imported, a tenth of the time that takes, and later whenever it looks through everything, as at the end.

    Parameters
    ----------
    forget : bool
        Whether all that there is now is left out later. Only a command that begins may say so: what is garbage already
        stays then.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # What triton keeps must be collected at the end: its binding says otherwise that it leaks.
        if forget and "triton" not in sys.modules:
            gc.freeze()
        if enabled:
            gc.enable()
