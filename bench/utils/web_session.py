"""The one way to the web: every request is bounded in time, bytes and redirects, and goes to public addresses alone.

A limit on the wait for the next byte, which is all that libraries have, lets a server that sends one byte a second hold
a request for hours. Here a watch shuts the connection down when the time for all of it is over: looking up the name,
greeting, headers, body and redirects. The address that a name resolves to is checked and then connected to, so that it
cannot resolve to another in between; each redirect goes through the same door.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from bench.utils.names import shown
from bench.utils.web_reading import OverLimit, read_bounded

SLOWEST = 4096
"""Bytes a second that a file must come with at least."""
_REDIRECTS = 5
_BLOCK = 1 << 18
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Forbidden(Exception):  # noqa: N818 - it is a finding about one address
    """Raised for an address that is not asked; its text says why."""


@dataclass(frozen=True)
class Limits:
    """Limits of one request.

    Attributes
    ----------
    seconds : float
        For all of it, redirects included.
    most_bytes : int
        Of the body, after decompression.
    allow_private : collection of str
        Hosts that may be private, loopback or link-local: those that the user named.
    """

    seconds: float = 60.0
    most_bytes: int = 16 << 20
    allow_private: Collection[str] = ()


def require_public(place: str, host: str) -> None:
    """Raise :class:`Forbidden` if the numeric address that a host resolved to is not one of the public internet."""
    number = ipaddress.ip_address(place.partition("%")[0])
    inner: list[ipaddress.IPv4Address | ipaddress.IPv6Address | None] = [number]
    if isinstance(number, ipaddress.IPv6Address):
        inner += [number.ipv4_mapped, number.sixtofour, number.teredo[1] if number.teredo else None]
        inner += [ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)] if number in _NAT64 else []
    for one in inner:
        if one is not None and (not one.is_global or one.is_multicast) and one not in _NAT64:
            raise Forbidden(
                f"{shown(host)} is at {number}, which is no public address; name it by --allow-private if you trust it"
            )


def check_address(address: str) -> None:
    """Raise :class:`Forbidden` for an address that is not of the web, or holds a name or password."""
    try:
        parts = urlsplit(address)
        host, user = parts.hostname, parts.username or parts.password
    except ValueError:
        raise Forbidden("an address that makes no sense") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Forbidden("an address that is none of the web (http or https)")
    if user is not None:
        raise Forbidden("an address that holds a name or a password")


class BoundedSession(requests.Session):
    """A session whose requests keep to :class:`Limits`; replies are read when they come back.

    ``limits`` can be set at any time. What goes through a proxy of the environment is resolved by the proxy; it is
    checked beforehand by what this machine resolves it to.

    Raises
    ------
    OverLimit
        For a reply that is too large or too slow.
    Forbidden
        For an address that is not asked.
    requests.RequestException, ValueError
        As requests does.
    """

    limits = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.max_redirects = _REDIRECTS
        self._now = threading.local()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(self))

    def send(self, request: requests.PreparedRequest, **named: Any) -> requests.Response:
        """Send a request, and those that its redirects ask for, within the time for all of them."""
        # Redirects come back to this function one by one.
        if not hasattr(self._now, "watch"):
            with _Watch(self.limits) as watch:
                self._now.watch = watch
                try:
                    return super().send(request, **named)
                finally:
                    del self._now.watch
        return super().send(request, **named)

    @contextmanager
    def streaming(
        self, address: str, *, headers: Mapping[str, str], silent: float
    ) -> Iterator[tuple[requests.Response, Iterator[bytes]]]:
        """Yield a reply and the blocks of its body as it was sent, for a file that is too large to be held.

        ``most_bytes`` does not count here. The time of the limits is for the headers with all redirects, and then for
        every :data:`SLOWEST` bytes a second of it; ``silent`` is the longest wait for a byte.
        """
        with _Watch(self.limits, streamed=True) as watch:
            self._now.watch = watch
            try:
                with self.get(address, headers=dict(headers), stream=True, timeout=silent) as reply:
                    yield reply, watch.blocks(reply)
            finally:
                del self._now.watch

    @property
    def watch(self) -> _Watch:
        """The watch of the request that this thread is at."""
        watch: _Watch = self._now.watch
        return watch


def session_for(address: str) -> BoundedSession:
    """Return a session for an address that the user, or this package, has named: its host may be private, no other."""
    session = BoundedSession()
    session.limits = Limits(allow_private=(urlsplit(address).hostname or "",))
    return session


class _Watch:
    """Ends a request when its time is over, whatever it waits for."""

    def __init__(self, limits: Limits, *, streamed: bool = False) -> None:
        self.limits, self.end, self.over = limits, time.monotonic() + limits.seconds, False
        self.streamed = streamed
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._arm(limits.seconds)

    def _arm(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def blocks(self, reply: requests.Response) -> Iterator[bytes]:
        """Yield the blocks of a body; as long as they come fast enough there is time for more."""
        arrived = 0
        # What has arrived is given at once, where iter_content would wait for a whole block.
        for block in iter(lambda: reply.raw.read1(_BLOCK), b""):
            arrived += len(block)
            if arrived >= SLOWEST * self.limits.seconds:
                arrived = 0
                with self._lock:
                    self.end = time.monotonic() + self.limits.seconds
            yield block
        if self.over:
            raise self.late()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._timer.cancel()
            for one in self._sockets:
                one.close()
            self._sockets.clear()
        # A connection's own time is over at the same moment, and may be first to say so.
        if isinstance(error, Exception) and (self.over or time.monotonic() >= self.end):
            raise self.late() from None

    def late(self) -> OverLimit:
        """Return the error that says so."""
        return OverLimit(f"not complete after {self.limits.seconds:g} seconds")

    @property
    def left(self) -> float:
        """Seconds that are left; without any it raises :class:`OverLimit`."""
        left = self.end - time.monotonic()
        if left <= 0 or self.over:
            raise self.late()
        return left

    def add(self, connected: socket.socket) -> None:
        """Watch a connection, whatever is wrapped around it later."""
        with self._lock:
            self._sockets.append(socket.socket(fileno=os.dup(connected.fileno())))
            if self.over:
                self._end_all()

    def _fire(self) -> None:
        with self._lock:
            left = self.end - time.monotonic()
            if left > 0:  # more time was given meanwhile
                self._arm(left)
                self._timer.start()
                return
            self.over = True
            self._end_all()

    def _end_all(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Makes connections that are watched, to addresses that were checked, and reads replies within limits."""

    def __init__(self, session: BoundedSession) -> None:
        self._session = session
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Make the pool of direct connections."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _pools(self._session, checked=True)

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        """Return the pool of connections to a proxy, which the user has named and may be private."""
        manager = super().proxy_manager_for(proxy, **named)
        manager.pool_classes_by_scheme = _pools(self._session, checked=False)
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send one request and read its reply."""
        watch, url = self._session.watch, str(request.url)
        check_address(url)
        if requests.utils.select_proxy(url, proxies or {}):
            resolve(str(urlsplit(url).hostname), urlsplit(url).port or 443, watch, or_nothing=True)
        each = min(watch.left, timeout if isinstance(timeout, (int, float)) else watch.left)
        reply = super().send(request, stream=True, timeout=each, verify=verify, cert=cert, proxies=proxies)
        if watch.streamed and not reply.is_redirect:
            return reply
        try:
            reply._content = read_bounded(reply, watch.limits.most_bytes, watch.left)
        finally:
            reply.close()
        if watch.over:  # a connection that was shut down looks like one that ended
            raise watch.late()
        return reply


def _pools(session: BoundedSession, *, checked: bool) -> dict[str, type[HTTPConnectionPool]]:
    """Return connection pools by scheme whose connections are watched, and whose addresses are checked if wanted."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, session.watch, checked=checked)

        def request(self, *arguments: Any, **named: Any) -> None:
            if self.sock is not None:  # one that an earlier request left open
                session.watch.add(self.sock)
            super().request(*arguments, **named)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, session.watch, checked=checked)

        def request(self, *arguments: Any, **named: Any) -> None:
            if self.sock is not None:
                session.watch.add(self.sock)
            super().request(*arguments, **named)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connected(connection: HTTPConnection, watch: _Watch, *, checked: bool) -> socket.socket:
    host, port = connection.host, int(connection.port or connection.default_port)
    place = resolve(host, port, watch) if checked else host
    made = socket.create_connection((place, port), timeout=watch.left)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    watch.add(made)
    return made


def resolve(host: str, port: int, watch: _Watch, *, or_nothing: bool = False) -> str:
    """Return a numeric address of a host; one that has any that is not public, and was not named, is forbidden.

    Raises
    ------
    Forbidden
        For a private, loopback, link-local or reserved address.
    OSError
        If there is none, unless ``or_nothing``.
    """
    found: list[Any] = []

    def look_up() -> None:
        try:
            found.append([place[4][0] for place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            found.append(error)

    # The system's own look-up cannot be interrupted, and need not be waited for.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(watch.left)
    if not found:
        raise watch.late()
    if isinstance(found[0], Exception) or not found[0]:
        if or_nothing:
            return ""
        raise OSError(0, f"the name {shown(host)} is not known")
    if host.lower() not in {one.lower().strip("[]") for one in watch.limits.allow_private}:
        for place in found[0]:
            require_public(str(place), host)
    return str(found[0][0])


def why(error: BaseException) -> str:
    """Return why there was no answer, in words that hold neither an address nor what was asked: both can be secret."""
    seen: BaseException | None = error
    reason = type(error).__name__
    for _ in range(8):
        if seen is None:
            break
        if isinstance(seen, OSError) and seen.strerror:
            reason = str(seen.strerror)
        inner = getattr(seen, "reason", None)
        first = seen.args[0] if seen.args else None
        following = [one for one in (inner, first, seen.__cause__, seen.__context__) if isinstance(one, BaseException)]
        seen = following[0] if following else None
    return reason
