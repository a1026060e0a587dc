"""The Hugging Face hub, asked once: what does not answer in seconds is not asked again and again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import huggingface_hub.constants as hub
import requests

from bench.utils.web_reading import OverLimit
from bench.utils.web_session import Forbidden, session_for

SECONDS = 4.0
"""How long the hub may take to answer at all."""


def answers(seconds: float = SECONDS) -> bool:
    """Return whether the hub answers within so many seconds, all told; it is asked once."""
    try:
        with session_for(hub.ENDPOINT) as session:
            session.limits = replace(session.limits, seconds=seconds)
            session.head(hub.ENDPOINT, allow_redirects=False)
    except (requests.RequestException, ValueError, Forbidden, OverLimit):
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
