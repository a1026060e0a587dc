"""Where files are shared: any address of fsspec, and plain web servers to pull from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from bench.encoders.hub import answers
from bench.utils.atomic import replacing, write_atomically
from bench.utils.errors import BenchError, one_line
from bench.utils.names import require_no_secret, shown
from bench.utils.web_reading import OverLimit
from bench.utils.web_session import Forbidden, session_for, why

_BLOCK = 1 << 20
_SILENT = 60.0
"""Seconds that a server may say nothing."""


class Place(Protocol):
    """A folder somewhere."""

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the blocks of a file; what cannot be read raises :class:`BenchError`."""

    def write(self, name: str, source: Path | bytes) -> None:
        """Write a file, as another one or as these bytes; what cannot be written raises :class:`BenchError`."""

    def remove(self, name: str) -> None:
        """Remove a file that is there; what cannot be removed raises :class:`BenchError`."""

    def has(self, name: str) -> bool:
        """Return whether a file is there."""


def place_at(address: str) -> Place:
    """Return the place at an address.

    ``hf://datasets/NAME/REPOSITORY/FOLDER`` is the Hugging Face Hub, ``s3://``, ``gs://`` and the like are object
    stores, ``https://`` is a web server, which can be pulled from; what has no scheme is a folder. Credentials come
    from where each of these looks for them, never from the address.

    Raises
    ------
    BenchError
        If it is none, fsspec is missing or knows no such scheme, the hub does not answer, or it holds a password.
    """
    if not address.strip() or not address.isprintable():
        raise BenchError(f"{shown(address)} is no address; give a folder, or one of a store")
    require_no_secret(address, "an address", instead="leave it out; the store's own settings hold it")
    if address.startswith(("http://", "https://")):
        return _Web(address.rstrip("/"))
    if find_spec("fsspec") is None:
        raise BenchError("sharing needs fsspec; pip install 'retrieval-bench[share]'")
    if address.startswith("hf://") and not answers():
        # Its client would try for minutes.
        raise BenchError(f"{address}: the Hugging Face hub does not answer; try again later")
    core = import_module("fsspec.core")
    try:
        system, root = core.url_to_fs(address)
    except Exception as error:  # each store has exceptions of its own
        raise BenchError(f"{address} cannot be opened ({one_line(error)}); check it") from None
    return _Store(system, str(root).rstrip("/"), address)


class _Store:
    """A folder of a file system of fsspec."""

    def __init__(self, system: Any, root: str, address: str) -> None:
        self._system, self._root, self._address = system, root, address
        self._is_local = "file" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,))

    def read(self, name: str) -> Iterator[bytes]:
        try:
            with self._system.open(f"{self._root}/{name}", "rb") as stream:
                while block := stream.read(_BLOCK):
                    yield block
        except Exception as error:  # each store has exceptions of its own
            raise self._failed("read", name, error) from None

    def write(self, name: str, source: Path | bytes) -> None:
        path = f"{self._root}/{name}"
        if self._is_local:
            _write_here(Path(path), source)
            return
        try:
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            if isinstance(source, bytes):
                self._system.pipe_file(path, source)
            else:
                self._system.put_file(str(source), path)
        except Exception as error:
            raise self._failed("written", name, error) from None

    def remove(self, name: str) -> None:
        try:
            self._system.rm_file(f"{self._root}/{name}")
        except Exception as error:
            raise self._failed("removed", name, error) from None

    def has(self, name: str) -> bool:
        try:
            return bool(self._system.exists(f"{self._root}/{name}"))
        except Exception as error:
            raise self._failed("read", name, error) from None

    def _failed(self, what: str, name: str, error: Exception) -> BenchError:
        return BenchError(f"{self._address}/{name} cannot be {what} ({type(error).__name__}: {one_line(error)})")


def _write_here(path: Path, source: Path | bytes) -> None:
    """Write a file of this machine whole or not at all, which its system of fsspec does not promise."""
    if isinstance(source, bytes):
        write_atomically(path, source)
        return
    try:
        given = source.open("rb")
    except OSError as error:
        raise BenchError(f"{source} cannot be read ({error.strerror}); is the folder being changed?") from None
    with given, replacing(path) as temporary, temporary.open("wb") as stream:
        shutil.copyfileobj(given, stream)


class _Web:
    """A folder of a web server."""

    def __init__(self, address: str) -> None:
        self._address = address

    def read(self, name: str) -> Iterator[bytes]:
        where = f"{self._address}/{quote(name)}"
        headers = {"Accept-Encoding": "identity"}
        try:
            with (
                session_for(where) as session,
                session.streaming(where, headers=headers, silent=_SILENT) as (answer, blocks),
            ):
                if answer.status_code != 200:
                    raise BenchError(f"{where} cannot be read (status {answer.status_code}); check the address")
                yield from blocks
        except (Forbidden, OverLimit) as error:
            raise BenchError(f"{where} cannot be read ({error}); check the address") from None
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise BenchError(f"{where} cannot be read ({why(error)}); check the address") from None

    def write(self, name: str, source: Path | bytes) -> None:
        raise self._refused()

    def remove(self, name: str) -> None:
        raise self._refused()

    def has(self, name: str) -> bool:
        raise self._refused()

    def _refused(self) -> BenchError:
        return BenchError(
            f"{self._address} is a web server, and nothing can be pushed to one; push to a store or folder"
        )
