"""Atomic writing of files."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.utils.errors import BenchError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to be written, which takes the place of ``path`` when the block ends well.

    A reader, or a crash at any moment, meets the old file or the new one, never half.

    Raises
    ------
    BenchError
        If the folder cannot be written to or the disk is full; no half-written file stays behind.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        # A library that writes a file of its own over this one may have left it to its owner alone.
        temporary.chmod(mode)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space or choose another folder" if full else "choose a folder you may write to"
        raise BenchError(f"cannot write {path}: {error.strerror}; {advice}") from None
    finally:
        # After a success it has moved; after a failure, whatever its kind, it is half-written.
        temporary.unlink(missing_ok=True) if path.parent.is_dir() else None


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader, or a crash at any moment, meets the old file or the new one, never half.

    Raises
    ------
    BenchError
        If the folder cannot be written to or the disk is full; no half-written file stays behind.
    """
    content = data.encode() if isinstance(data, str) else data
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def require_space(folder: Path, nbytes: int, *, what: str) -> None:
    """Raise :class:`BenchError` if a folder's disk has not ``nbytes`` free; nothing is written.

    Parameters
    ----------
    folder : Path
        Where it is to be written; need not be there yet.
    what : str
        What is to be written, for the message.
    """
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if nbytes > free:
        raise BenchError(
            f"{what} takes {nbytes / 2**30:.3g} GiB and the disk of {there} has {free / 2**30:.3g} GiB free; free some "
            "space or choose another folder"
        )


def sweep(folder: Path) -> None:
    """Remove what processes that are gone left half-written in a folder."""
    for temporary in folder.glob(".*.tmp"):
        pid = temporary.name.split(".")[-2]
        if not pid.isdigit() or not _alive(int(pid)):
            temporary.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
