"""Fetches the files of a standard data set where its licence allows it: resumed, and compared with their hashes."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests
import urllib3
from tqdm import tqdm

from bench.data.declaration import Declaration, Download
from bench.utils.atomic import require_space
from bench.utils.errors import BenchError, one_line
from bench.utils.web_reading import OverLimit
from bench.utils.web_session import Forbidden, session_for

SILENT_SECONDS = 30.0
"""How long a server may say nothing."""
ATTEMPTS = 3
"""How often one command goes on where a connection broke."""
_PART = ".part"


@dataclass(eq=False)
class _Broken(Exception):  # noqa: N818 - it is a finding about a transfer, tried again
    """A transfer that ended early, and why."""

    reason: str


def fetch(declared: Declaration, root: Path, *, say: Callable[[str], Any], progress: bool = False) -> Path:
    """Fetch and unpack the files of a data set below a folder, and return the data set's own folder there.

    What is unpacked already is left as it is. A file is written beside its place until it is whole and its hash is
    right; a command that was stopped goes on where it stopped.

    Parameters
    ----------
    say : callable
        Told of the licence and of the size of each file before it is fetched.

    Raises
    ------
    BenchError
        If the data set may not be fetched or has files that only its authors hand out, a server does not answer, stops,
        or sends something else, the disk is full, or an archive cannot be unpacked.
    """
    if not declared.downloads:
        raise BenchError(
            f"{declared.name} is not fetched: its licence ({declared.licence}) or its authors want you to get it "
            f"yourself. Get it from {declared.home}"
        )
    folder = root / declared.folder
    for one in declared.downloads:
        into = root / one.into
        name = unquote(one.url.rpartition("/")[2])
        packed = name != one.makes
        file = (folder if packed else into) / name
        if packed and (into / one.makes).exists():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        # A file that is not packed may be of another revision than the one whose hash is wanted.
        if not file.is_file() or (not packed and _hash(file, one.algorithm) != one.digest):
            _transfer(declared, one, file, say=say, progress=progress)
        if packed:
            _unpack(file, into, one.makes)
            file.unlink()
    return folder


def _transfer(declared: Declaration, one: Download, file: Path, *, say: Callable[[str], Any], progress: bool) -> None:
    part = file.with_name(file.name + _PART)
    told = False
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _answer(one.url, part) as (blocks, start, total):
                if not told:
                    size = (
                        f"{total / 2**20:.0f} MiB" if total is not None else "of a size that the server does not tell"
                    )
                    say(f"{declared.title}: {size} from {one.url}; licence: {declared.licence}")
                    told = True
                if total is not None:
                    require_space(part.parent, total - start, what=str(part))
                _write(blocks, part, start, total, declared.name, progress)
            break
        except _Broken as broken:
            have = part.stat().st_size if part.exists() else 0
            if attempt == ATTEMPTS:
                raise BenchError(
                    f"{one.url}: {broken.reason}; {have} bytes are here, and the same command goes on with them"
                ) from None
    found = _hash(part, one.algorithm)
    if found != one.digest:
        part.unlink()
        raise BenchError(
            f"{one.url} sent a file whose {one.algorithm} is {found[:12]}, not {one.digest[:12]}; it was removed. Try "
            f"again, or get it from {declared.home}"
        )
    part.replace(file)


@contextmanager
def _answer(url: str, part: Path) -> Iterator[tuple[Iterator[bytes], int, int | None]]:
    """Yield the blocks of a server's answer, the byte that it starts with, and the size of the file if it is told."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    # What is packed again on the way would have another size.
    headers["Accept-Encoding"] = "identity"
    try:
        with session_for(url) as session, session.streaming(url, headers=headers, silent=SILENT_SECONDS) as answer:
            reply, blocks = answer
            if reply.status_code == requests.codes.requested_range_not_satisfiable:
                part.unlink(missing_ok=True)
                raise _Broken("the server has fewer bytes than are here; they were removed")
            if not reply.ok:
                raise _Broken(f"the server answers {reply.status_code} {reply.reason}")
            ranged = reply.headers.get("Content-Range", "")
            if start and not (reply.status_code == requests.codes.partial and ranged.startswith(f"bytes {start}-")):
                # It sends the whole file, or another part than was asked for.
                if reply.status_code == requests.codes.partial:
                    part.unlink(missing_ok=True)
                    raise _Broken("the server sends another part than was asked for; it was left")
                start = 0
            length = reply.headers.get("Content-Length", "")
            yield blocks, start, start + int(length) if length.isdigit() else None
    except Forbidden as error:
        raise BenchError(f"{url} leads elsewhere: {error}") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, OverLimit) as error:
        raise _Broken(f"the transfer broke ({one_line(error, longest=80)})") from None


def _write(blocks: Iterator[bytes], part: Path, start: int, total: int | None, name: str, progress: bool) -> None:
    with (
        part.open("ab" if start else "wb") as sink,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=not progress) as bar,
    ):
        done = start
        for block in blocks:
            done += len(block)
            if total is not None and done > total:
                raise _Broken("the server sends more than it said")
            sink.write(block)
            bar.update(len(block))
    if total is not None and done < total:
        raise _Broken(f"the server stopped after {done} of {total} bytes")


def _hash(path: Path, algorithm: str) -> str:
    """Return a file's hash; ``git`` is SHA-1 of what git puts before a file's bytes, and of them."""
    with path.open("rb") as stream:
        if algorithm == "git":
            start = f"blob {path.stat().st_size}\0".encode()
            return hashlib.file_digest(stream, lambda: hashlib.sha1(start, usedforsecurity=False)).hexdigest()
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _unpack(file: Path, into: Path, makes: str) -> None:
    into.mkdir(parents=True, exist_ok=True)
    try:
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as archive:
                _refuse_outside(archive.namelist())
                archive.extractall(into)
        else:
            with tarfile.open(file) as archive_:
                # Refuses paths and links that lead out, and devices.
                archive_.extractall(into, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise BenchError(f"{file} cannot be unpacked ({one_line(error)}); remove it and fetch it again") from None
    if not (into / makes).exists():
        raise BenchError(f"{file} was unpacked and holds no {makes}; get the data set from its authors' page")


def _refuse_outside(names: list[str]) -> None:
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
        raise zipfile.BadZipFile("a path in it leads out")
