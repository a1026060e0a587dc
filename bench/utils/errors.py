"""Exceptions whose messages are written for users."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """An error that the user can correct: one line that says what is wrong and what to do.

    The command line prints it without a traceback and leaves with exit status 2.
    """


class Unsuitable(Exception):  # noqa: N818 - it is a finding about a method, not a failure
    """Raised by a method that lacks what it needs in a task; the cell is recorded as skipped."""


class Notice(UserWarning):
    """Something the user should know and need not put right; the command line prints it on one line."""


_FULL = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
"""What the libraries below torch say where it has no error of its own."""


def is_full_device(error: BaseException) -> bool:
    """Return whether an error says that a GPU's memory is full; torch need not be imported."""
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    return "torch.OutOfMemoryError" in kinds or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)
    )


_LISTED, _SHOWN = 80, 20
"""Known words that a message lists in full, and how many of more than that."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known word, or the list of known words, if need be cut."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    if len(names) > _LISTED:
        return f"; known: {', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"
    return f"; known: {', '.join(names)}" if names else ""


def one_line(error: BaseException, *, longest: int = 160) -> str:
    """Return the text of an error on one line of at most ``longest`` characters, or its kind if it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else text[: longest - 3] + "..."
