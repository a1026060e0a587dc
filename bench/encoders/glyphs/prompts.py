"""The prompts in which the bundled encoder met the name of a class."""

from __future__ import annotations

PROMPTS: tuple[str, ...] = (
    "{}",
    "the character {}",
    "an image of {}",
    "a printed {}",
)
"""Short texts that stand for a class when it is named."""
