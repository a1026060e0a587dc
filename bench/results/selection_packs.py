"""The data sets on which defaults of methods were chosen, so that no rank and no mean over data sets counts them."""

from __future__ import annotations

SELECTION_PACKS = frozenset({"glyphs", "food101", "dtd"})
"""Their names; ``tools.choose_defaults`` holds the protocol and docs/selection.md the results."""
