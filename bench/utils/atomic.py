"""Atomic writing of files."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from bench.utils.errors import BenchError, one_line

_KEPT = 200
"""Bytes of a file's name that its temporary file keeps; with the process's number it stays below 255."""
_FORGOTTEN = 24 * 3600.0
"""Seconds after which an unfinished file of another machine counts as left behind."""
_MACHINE = re.compile(r"m[0-9a-f]{8}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to be written, which takes the place of ``path`` when the block ends well.

    A reader, or a crash at any moment, meets the old file or the new one, never half; file and folder are synced, so
    that a loss of power counts as a crash. The first use of a folder by a process sweeps what others left there.

    Raises
    ------
    BenchError
        If the folder cannot be written to, the disk is full, or the path is a device or a pipe; no half-written file
        stays behind.
    """
    folder = path.parent
    temporary = folder / _temporary_name(path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_replaceable(path)
        _sweep_once(str(folder.absolute()))
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        # A library that writes a file of its own over this one may have left it to its owner alone.
        temporary.chmod(mode)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(folder)
    except OSError as error:
        raise _refused(path, error) from None
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise BenchError(f"cannot write {str(path)!r}: its name has a zero byte; choose another name") from None
    finally:
        # After a success it has moved; after a failure, whatever its kind, it is half-written. Where it could not be
        # made it cannot be removed either, and the error that says so is on its way.
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


@contextmanager
def making_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to be filled, which is put at ``path``, where nothing is, when the block ends well.

    As with :func:`replacing` there is all of it or nothing, and the next use of the folder above sweeps what was left.

    Raises
    ------
    BenchError
        If something is there already, or cannot be written.
    """
    temporary = path.parent / _temporary_name(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(str(path.parent.absolute()))
        temporary.mkdir()
        yield temporary
        # A rename onto a folder that is empty would succeed.
        if path.exists() or path.is_symlink():
            raise FileExistsError(errno.EEXIST, "it is there already")
        temporary.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def scratch_folder() -> Path:
    """Return a new folder below the system's one for temporary files; whoever asks for it removes it.

    Raises
    ------
    BenchError
        If none can be made.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="bench-"))
    except OSError as error:
        raise BenchError(
            f"no folder for temporary files can be made ({error.strerror or one_line(error)}); free some space, set "
            "TMPDIR, or say where results are kept (out)"
        ) from None


def _refused(path: Path, error: OSError) -> BenchError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    advice = "free some space or choose another folder" if full else "choose a folder you may write to"
    if error.errno == errno.ENAMETOOLONG:
        advice = "choose a shorter name"
    return BenchError(f"cannot write {path}: {error.strerror or one_line(error)}; {advice}")


def _require_replaceable(path: Path) -> None:
    # Whoever may write into its folder could put a file in the place of /dev/null, for every program of the machine.
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise BenchError(f"cannot write {path}: it is a device, a pipe or a socket; name a file")


def _temporary_name(name: str) -> str:
    # Cut, so that what holds as a name holds as a temporary one. Never in the middle of a character.
    start = name.encode("utf-8", "surrogateescape")[:_KEPT].decode("utf-8", "ignore")
    return f".{start}.{_machine()}.{os.getpid()}.tmp"


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a file which a writer of this module has not finished."""
    parts = name.split(".")
    return len(parts) > 4 and name.startswith(".") and parts[-1] == "tmp" and bool(_MACHINE.fullmatch(parts[-3]))


@cache
def _machine() -> str:
    """Return a word for this machine: the number of a process says nothing about those of another."""
    return "m" + hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


@cache
def _sweep_once(folder: str) -> None:
    sweep(Path(folder))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk, where the system lets a folder be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # a folder that may be written to but not read, or a system without folders as files
    try:
        with suppress(OSError):  # some network file systems refuse it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if os.path.exists(parent))
    free = shutil.disk_usage(there).free
    if nbytes > free:
        raise BenchError(
            f"{what} takes {nbytes / 2**30:.3g} GiB and the disk of {there} has {free / 2**30:.3g} GiB free; free some "
            "space or choose another folder"
        )


def sweep(folder: Path) -> None:
    """Remove what processes that are gone left half-written in a folder.

    On a folder that several machines share, files of another one are left alone for a day.
    """
    for temporary in folder.glob(".*.tmp"):
        *_, machine, pid, _ = ("", *temporary.name.split("."))
        with suppress(OSError):
            if _MACHINE.fullmatch(machine) and machine != _machine():
                gone = time.time() - temporary.stat().st_mtime > _FORGOTTEN
            else:
                gone = not pid.isdecimal() or not _alive(int(pid))
            if gone and temporary.is_dir() and not temporary.is_symlink():
                shutil.rmtree(temporary, ignore_errors=True)
            elif gone:
                temporary.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OverflowError:  # a number that no process has
        return False
    return True
