"""Asking whether the hub answers: within its seconds, whatever comes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bench.encoders.hub import answers
from tests.unit.data.test_hostile_web import OK, Act, Hostile, body, drips, floods, moved, resets, says, silent

SECONDS = 0.5


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    server = Hostile()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.port}")
    yield server
    server.close()


@pytest.mark.parametrize(
    ("act", "answered"),
    [
        (body(b"here"), True),
        (body(b"no such page", status="404 Not Found"), True),
        (moved("http://169.254.169.254/"), True),
        (floods(OK + b"\r\n", b"x" * 65536), True),
        (silent, False),
        (resets, False),
        (says(b"\xff\xfe nothing of the web\r\n\r\n"), False),
        (floods(OK, b"x" * 65536), False),
        (drips(b"HTTP/1.1 200 OK\r\nX-Slow: "), False),
    ],
    ids=[
        "a page",
        "no page",
        "elsewhere",
        "a flood",
        "silence",
        "a reset",
        "noise",
        "headers that flood",
        "headers without end",
    ],
)
def test_it_is_said_in_time(hub: Hostile, act: Act, answered: bool) -> None:
    hub.act = act
    before = time.monotonic()
    assert answers(SECONDS) is answered
    assert time.monotonic() - before < SECONDS + 2
    assert hub.connections == 1


def test_an_address_that_is_none_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("ftp://127.0.0.1", "http://user:secret@127.0.0.1", "http://[", "nothing"):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        assert not answers(SECONDS)
