"""A misbehaving server on loopback: each answer ends in the right article or in one line, in time and in few bytes."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.data.images.items import Unusable
from bench.data.web import WikiClient, harvest_sentences, wikipedia
from bench.data.web.icrawler import fetch
from bench.utils.errors import BenchError
from bench.utils.web_reading import OverLimit
from bench.utils.web_session import BoundedSession, Forbidden, Limits, check_address, require_public
from tests.unit.data.scripted_wiki import page

SECONDS, BYTES = 0.6, 100_000
"""Limits of a request here."""

SENT_AT_MOST = 30 << 20
"""What a server can have sent that is never read: the buffers of the system on both sides of loopback."""

Act = Callable[[socket.socket, int], None]
"""What a server does with a connection, on its port."""


class Hostile:
    """A server that does what it is told, with any bytes."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.act: Act = lambda connection, port: None
        self.sent, self.connections = 0, 0
        self.open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while self.open:
            with suppress(OSError):
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(20)
            request = b""
            while b"\r\n\r\n" not in request:
                part = connection.recv(65536)
                if not part:
                    return
                request += part
            self.act(connection, self.port)

    def close(self) -> None:
        self.open = False
        self.listener.close()


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    server = Hostile()
    yield server
    server.close()


def says(*parts: bytes, pause: float = 0.0) -> Act:
    def act(connection: socket.socket, port: int) -> None:
        for part in parts:
            connection.sendall(part.replace(b"{port}", str(port).encode()))
            time.sleep(pause)

    return act


def drips(text: bytes, then: bytes = b"x") -> Act:
    """Say a text at once and then a byte now and then, without end."""

    def act(connection: socket.socket, port: int) -> None:
        connection.sendall(text)
        end = time.monotonic() + 15
        while time.monotonic() < end:
            connection.sendall(then)
            time.sleep(0.05)

    return act


def floods(text: bytes, block: bytes) -> Act:
    """Say a text and then as much as is taken."""

    def act(connection: socket.socket, port: int) -> None:
        connection.sendall(text)
        sent, end = 0, time.monotonic() + 15
        while time.monotonic() < end:
            sent += connection.send(block)
            assert sent < SENT_AT_MOST, "more was taken than a buffer holds"

    return act


def resets(connection: socket.socket, port: int) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(connection: socket.socket, port: int) -> None:
    with suppress(OSError):
        connection.recv(1)


def body(content: bytes | Any, *headers: str, status: str = "200 OK") -> Act:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(raw)}", *headers, "", ""]
    return says("\r\n".join(lines).encode("latin-1") + raw)


def moved(to: str, status: str = "302 Found") -> Act:
    return says(f"HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


def pages(*content: Any) -> dict[str, Any]:
    return {"query": {"pages": list(content)}}


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(50 << 20))
DEEP = b'{"query": ' + b"[" * 5000 + b"]" * 5000 + b"}"

REPLIES: dict[str, Act] = {
    # slow
    "status line of a byte now and then": drips(b"HT", b"T"),
    "header of a byte now and then": drips(OK + b"X: "),
    "headers without end, slowly": drips(OK, b"A: b\r\n"),
    "body of a byte now and then": drips(OK + b"Content-Length: 1000\r\n\r\n"),
    "body without length, slowly": drips(OK + b"\r\n"),
    "chunks of a byte now and then": drips(CHUNKED, b"1\r\nx\r\n"),
    "chunk size of a digit now and then": drips(CHUNKED, b"0"),
    "trailers without end": drips(CHUNKED + b"0\r\n", b"A: b\r\n"),
    "continue without end": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "says nothing": silent,
    # sudden
    "hangs up": says(b""),
    "resets": resets,
    "hangs up in the status": says(b"HTTP/1."),
    "hangs up in the headers": says(OK + b"Content-Le"),
    "hangs up in the body": says(OK + b"Content-Length: 100\r\n\r\n{"),
    "hangs up in a chunk": says(CHUNKED + b"ff\r\n{"),
    # large
    "headers without end": floods(OK, b"A: b\r\n" * 1000),
    "one header without end": floods(OK + b"A: ", b"b" * 10_000),
    "status without end": floods(b"HTTP/1.1 200 ", b"b" * 10_000),
    "body without end": floods(OK + b"\r\n", b" " * 10_000),
    "chunks without end": floods(CHUNKED, b"400\r\n" + b" " * 1024 + b"\r\n"),
    "a length beyond all": floods(OK + b"Content-Length: 99999999999999\r\n\r\n", b" " * 10_000),
    "a gzip bomb": body(BOMB, "Content-Encoding: gzip"),
    "a gzip bomb in a gzip bomb": body(gzip.compress(BOMB), "Content-Encoding: gzip, gzip"),
    "a deflate bomb": body(zlib.compress(bytes(50 << 20)), "Content-Encoding: deflate"),
    "ten thousand cookies": says(OK + b"Set-Cookie: a=b\r\n" * 10_000 + b"\r\n"),
    # malformed
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "another protocol's version": says(b"HTTP/9.9 200 OK\r\n\r\n{}"),
    "a status that is no number": says(b"HTTP/1.1 abc OK\r\n\r\n{}"),
    "a status beyond all": says(b"HTTP/1.1 999 OK\r\n\r\n{}"),
    "a negative length": says(OK + b"Content-Length: -5\r\n\r\n{}"),
    "a length that is no number": says(OK + b"Content-Length: many\r\n\r\n{}"),
    "two lengths": says(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "a negative chunk": says(CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is no number": says(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk beyond all": says(CHUNKED + b"ffffffffffffffffff\r\n{}"),
    "gzip that is none": body({}, "Content-Encoding: gzip"),
    "gzip that is cut": body(gzip.compress(b"{}" * 1000)[:20], "Content-Encoding: gzip"),
    "a header with zero bytes": says(OK + b"A\x00: \x00\r\nContent-Length: 2\r\n\r\n{}"),
    "nothing, well formed": body(b""),
    "no content": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    # redirects
    "to itself": moved("/again"),
    "to a file": moved("file:///etc/passwd"),
    "to FTP": moved("ftp://127.0.0.1/a"),
    "to a data address": moved("data:application/json,{}"),
    "to loopback by name": moved("http://localhost:{port}/"),
    "to loopback as a number": moved("http://2130706433:{port}/"),
    "to loopback in short": moved("http://127.1:{port}/"),
    "to loopback in version 6": moved("http://[::1]:{port}/"),
    "to loopback in version 4 in 6": moved("http://[::ffff:127.0.0.1]:{port}/"),
    "to the metadata of a cloud": moved("http://169.254.169.254/latest/meta-data/", "307 Temporary Redirect"),
    "to a private network": moved("http://10.0.0.1/", "308 Permanent Redirect"),
    "to nowhere in particular": moved("http://0.0.0.0:{port}/"),
    "with a password": moved("http://user:secret-token@127.0.0.1:{port}/"),
    "to no address": moved("http://[bad/"),
    "to nowhere": says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
    "to no text": says(b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe\x00/\r\nContent-Length: 0\r\n\r\n"),
    # Retry-After
    **{
        f"retry after {said[:20]}": body(b"", f"Retry-After: {said}", status="503 Busy")
        for said in ("9" * 5000, "-5", "1e400", "Fri, 99 Foo 2026", "Fri, 31 Dec 999999999 23:59:59 GMT", "\xb2", "")
    },
    # JSON
    "deep": body(DEEP),
    "cut": body(json.dumps(pages(page("dog", 1))).encode()[:-20]),
    "half a character": body(pages(page("dog", 1, "A \ud800 dog."))),
    "half a character in a title": body(pages(page("dog", 1) | {"title": "\udfff"})),
    "a key twice": body(b'{"query": {}, "query": {"pages": []}}'),
    "a number of many digits": body(b'{"query": ' + b"9" * 10_000 + b"}"),
    "no UTF-8": body(b'{"query": "\xff\xfe"}'),
    "HTML": body(b"<html>sorry</html>"),
    "a list": body([]),
    "null": body(b"null"),
    "an object without anything": body({}),
    "pages that are none": body(pages(3)),
    "a page without anything": body(pages({})),
    "hits that are none": body({"query": {"pages": [{"missing": True}], "search": "dog"}}),
    "a text that is a list": body(pages(page("dog", 1) | {"extract": ["x"]})),
    "a revision that is a truth": body(pages(page("dog", 1) | {"revisions": [{"revid": True}]})),
    "an error of many lines": body({"error": {"code": "a\nb\x1b[2J", "info": "c\r\n\u202ed" * 1000}}),
    "an error that is a list": body({"error": ["x"]}),
}


def test_there_are_at_least_sixty() -> None:
    assert len(REPLIES) >= 60


def asker(server: Hostile, **options: Any) -> WikiClient:
    options = {
        "allow_private": ("127.0.0.1",),
        "reply_seconds": SECONDS,
        "retries": 0,
        "sleep": lambda s: None,
    } | options
    return WikiClient("me@example.org", f"http://127.0.0.1:{server.port}/w/api.php", **options)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikipedia, "_MAX_REPLY_BYTES", BYTES)


@pytest.mark.parametrize("kind", REPLIES)
def test_an_answer_ends_in_one_line_and_is_not_remembered(hostile: Hostile, tmp_path: Path, kind: str) -> None:
    hostile.act = REPLIES[kind]
    start = time.monotonic()
    found, aside = harvest_sentences(["dog"], asker(hostile), tmp_path)
    taken = time.monotonic() - start
    # A title that is missing is searched for: two requests at most. A busy machine takes what it takes besides.
    assert taken < 2 * SECONDS + 3, f"{taken:.1f} s"
    assert not found
    (one,) = aside
    assert one.reason.isprintable(), one.reason
    assert len(one.reason) < 400
    assert "secret-token" not in one.reason
    assert "no article" not in one.reason
    assert not list(tmp_path.iterdir()), "remembered"


@pytest.mark.parametrize("kind", [kind for kind in REPLIES if not kind.startswith(("retry", "an error"))])
def test_a_picture_ends_in_one_line(hostile: Hostile, kind: str) -> None:
    hostile.act = REPLIES[kind]
    session = BoundedSession()
    session.limits = Limits(SECONDS, BYTES, ("127.0.0.1",))
    start = time.monotonic()
    try:
        data = fetch(session, f"http://127.0.0.1:{hostile.port}/a.jpg?key=secret-token", timeout=5, attempts=1)
    except Unusable as error:
        assert str(error).isprintable()  # noqa: PT017
        assert "secret-token" not in str(error)  # noqa: PT017
    else:
        assert len(data) <= BYTES
    assert time.monotonic() - start < SECONDS + 3


def test_a_good_answer_after_all_of_them(hostile: Hostile, tmp_path: Path) -> None:
    hostile.act = body(pages(page("dog", 1)))
    found, aside = harvest_sentences(["dog"], asker(hostile), tmp_path)
    assert found
    assert not aside
    assert len(list(tmp_path.iterdir())) == 1


def test_a_connection_that_is_used_again_is_watched_as_well(hostile: Hostile) -> None:
    turns = iter([OK + b"Content-Length: 2\r\n\r\n{}", OK + b"Content-Length: 9\r\n\r\n"])

    def act(connection: socket.socket, port: int) -> None:
        for text in turns:
            connection.sendall(text)
            connection.recv(65536)
        time.sleep(10)

    hostile.act = act
    session = BoundedSession()
    session.limits = Limits(SECONDS, BYTES, ("127.0.0.1",))
    address = f"http://127.0.0.1:{hostile.port}/"
    before = hostile.connections
    assert session.get(address).content == b"{}"
    start = time.monotonic()
    with pytest.raises(OverLimit, match=f"not complete after {SECONDS} seconds"):
        session.get(address)
    assert time.monotonic() - start < SECONDS + 2
    assert hostile.connections == before + 1


def test_loopback_is_asked_only_if_it_is_named(hostile: Hostile, tmp_path: Path) -> None:
    before = hostile.connections
    found, aside = harvest_sentences(["dog"], asker(hostile, allow_private=()), tmp_path)
    assert not found
    assert "is no public address; name it by --allow-private" in aside[0].reason
    assert hostile.connections == before


def test_a_name_that_resolves_to_loopback_is_found_out(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was checked is the one that is asked: what a second look-up would give makes no difference."""
    asked: list[str] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in ("93.184.216.34", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    before = hostile.connections
    with pytest.raises(Forbidden, match="is no public address"):
        BoundedSession().get(f"http://example.org:{hostile.port}/")
    assert asked == ["example.org"]
    assert hostile.connections == before


def test_a_look_up_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(20) or [])
    session = BoundedSession()
    session.limits = Limits(0.3)
    start = time.monotonic()
    with pytest.raises(OverLimit):
        session.get("http://example.org/")
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    "place",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1"),
        *("2002:7f00:1::", "64:ff9b::7f00:1"),
    ],
)
def test_what_is_no_public_address(place: str) -> None:
    with pytest.raises(Forbidden, match="is no public address"):
        require_public(place, "host")


@pytest.mark.parametrize(
    "place", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::808:808"]
)
def test_public_addresses(place: str) -> None:
    require_public(place, "host")


@pytest.mark.parametrize(
    "address",
    [
        *("file:///etc/passwd", "ftp://a/b", "//a/b", "", "javascript:alert(1)", "http:///a", "http://[bad/"),
        *("http://user:secret-token@a/", "https://secret-token@a/api.php"),
    ],
)
def test_addresses_that_are_not_asked_and_not_repeated(address: str) -> None:
    with pytest.raises(Forbidden) as refused:
        check_address(address)
    assert "secret-token" not in str(refused.value)
    with pytest.raises((Forbidden, requests.RequestException, ValueError)):
        BoundedSession().get(address)
    with pytest.raises(BenchError) as said:
        WikiClient("me@example.org", address)
    assert "secret-token" not in str(said.value)
