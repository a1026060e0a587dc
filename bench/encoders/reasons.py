"""Error messages of libraries, shortened to one line."""

from __future__ import annotations


def one_line(error: Exception, *, longest: int = 160) -> str:
    """Return the text of an error on one line of at most ``longest`` characters, or its kind if it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else text[: longest - 3] + "..."
