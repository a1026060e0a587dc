"""The table of all peers, at the end of a run of the tests."""

from __future__ import annotations

RATIOS: dict[tuple[str, str], float] = {}
"""How many times as long as ours a peer takes, by what is done and the peer."""


def lines() -> list[str]:
    """Return the ratios measured so far as a Markdown table; nothing where none was."""
    if not RATIOS:
        return []
    rows = [f"| {name} | {side} | {ratio:.2f} |" for (name, side), ratio in RATIOS.items()]
    return ["| what | peer | times ours, processor time |", "| --- | --- | ---: |", *rows]
