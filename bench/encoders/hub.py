"""The Hugging Face hub, asked once: what does not answer in seconds is not asked again and again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import huggingface_hub.constants as hub

SECONDS = 4.0
"""How long the hub may take to answer at all."""


def answers(seconds: float = SECONDS) -> bool:
    """Return whether the hub answers; it is asked once."""
    import requests  # most encoders are loaded without it, and it takes a tenth of a second

    try:
        requests.head(hub.ENDPOINT, timeout=seconds, allow_redirects=False)
    except requests.RequestException:
        return False
    return True


@contextmanager
def one_try() -> Iterator[None]:
    """Ask the hub once; where it does not answer, only what was fetched before is there within this block.

    Its client would try for the better part of a minute.
    """
    before = hub.HF_HUB_OFFLINE
    hub.HF_HUB_OFFLINE = before or not answers()
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before
