"""Listening: the socket is taken first, so that a port in use is said before anything is loaded."""

from __future__ import annotations

import ipaddress
import os
import socket

import uvicorn
from starlette.applications import Starlette

from bench.utils.errors import BenchError

TOKEN = "BENCH_SERVE_TOKEN"
"""The environment variable that holds the token; a command line is seen by every user of a machine."""
_LEAST = 16
"""Characters of a token."""


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_for(host: str) -> str | None:
    """Return the token that requests must bring; None on loopback without one.

    Raises
    ------
    BenchError
        If there is none and the server would be reached from other machines, or it is too short to guard anything.
    """
    found = os.environ.get(TOKEN, "")
    if not found and not is_loopback(host):
        raise BenchError(f"{host} is reached from other machines, which takes a token; set {TOKEN}, or use 127.0.0.1")
    if found and (len(found) < _LEAST or not found.isascii() or not found.isprintable()):
        raise BenchError(f"{TOKEN} must be {_LEAST} or more characters without accents; make a longer one")
    return found or None


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any that is free.

    Raises
    ------
    BenchError
        If the port is in use, or the address cannot be listened on.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # With the protocol said, asyncio sends small answers at once; else each waits 40 ms for the client's receipt.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise BenchError(f"{host} is no address of this machine ({error}); use 127.0.0.1") from None
    if os.name == "posix":
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(128)
    except (OSError, OverflowError) as error:
        found.close()
        raise BenchError(f"cannot listen on {host}, port {port} ({error}); choose another --port") from None
    return found


def serve(app: Starlette, listening: socket.socket) -> None:
    """Answer requests until the process is asked to end; those that are being answered are finished."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[listening])
