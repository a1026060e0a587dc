"""Who may ask a server, and how what it cannot answer is said."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TypeVar

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bench.serving.server import is_loopback

T = TypeVar("T")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def names_of(host: str, token: str | None) -> frozenset[str] | None:
    """Return the names under which a server that listens on ``host`` is asked; None takes all, behind a token."""
    return _LOOPBACK | {host} if token is None and is_loopback(host) else None


def address_of(host: str, port: int) -> str:
    """Return the address of a server, for people."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Gate:
    """Turns away requests of other sites' pages, and those without the token.

    Parameters
    ----------
    token : str, optional
        What a request must bring as ``Authorization: Bearer TOKEN``.
    hosts : collection of str, optional
        Names under which the server may be asked; a request for another one may come from a page that had its name lead
        here. None takes all, for a server with a token.
    """

    def __init__(self, token: str | None, hosts: frozenset[str] | None) -> None:
        self.token, self._hosts = token, hosts

    def require_name(self, request: Request) -> None:
        """End with status 403 if a request comes from another site's page."""
        if self._hosts is None:
            return
        if (request.url.hostname or "") not in self._hosts:
            raise HTTPException(403, "this server is not called by that name")
        origin = request.headers.get("origin")
        if origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host', '')}":
            raise HTTPException(403, "pages of other sites may not ask this server")

    def require(self, request: Request) -> None:
        """End with status 403 or 401 if a request may not ask."""
        self.require_name(request)
        if self.token is not None:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                raise HTTPException(401, "a token is needed: Authorization: Bearer TOKEN")


class Workers:
    """Threads that compute answers, and how many requests may wait for one.

    Parameters
    ----------
    threads : int
        Requests that are computed at a time.
    waiting : int
        Requests that are being computed or wait for it.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads, self._most, self._waiting = anyio.CapacityLimiter(threads), waiting, 0

    async def compute(self, work: Callable[[], T]) -> T:
        """Return what some work gives; with too many waiting it ends with status 503."""
        if self._waiting >= self._most:
            raise HTTPException(503, "too many requests are waiting; try again", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._threads)
        finally:
            self._waiting -= 1


async def refused(request: Request, error: Exception) -> Response:
    """Return the answer to a request that was refused, in one line."""
    assert isinstance(error, HTTPException)
    headers = {**(error.headers or {}), **({"WWW-Authenticate": "Bearer"} if error.status_code == 401 else {})}
    return JSONResponse({"error": error.detail}, error.status_code, headers)


async def failed(request: Request, error: Exception) -> Response:
    """Return the answer to a request that the server failed at."""
    # What went wrong inside is for the log, not for whoever asks.
    return JSONResponse({"error": "the server failed to answer this; its log says why"}, 500)
