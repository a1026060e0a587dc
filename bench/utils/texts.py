"""Text files from outside: only from regular files, of bounded size, in UTF-8 with or without a byte-order mark."""

from __future__ import annotations

import stat
from pathlib import Path

from bench.utils.errors import BenchError
from bench.utils.names import shown

MAX_BYTES = 256 << 20
"""A list of all 14 million images of ImageNet is about as large."""


def require_regular(path: Path) -> int:
    """Return the size of a regular file in bytes.

    Raises
    ------
    OSError
        If there is none, if a link leads to itself, and for a pipe or device, whose reading might never end.
    """
    try:
        found = path.stat()
    except ValueError:
        raise OSError(0, "its name has a zero byte") from None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(0, "it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is no regular file but a pipe, a socket or a device")
    return found.st_size


def read_text(path: Path, wanted: str, *, longest: int = MAX_BYTES) -> str:
    """Return the content of a text file without its byte-order mark.

    Parameters
    ----------
    wanted : str
        What to give instead, for the message: ``"a CSV or JSON file of path and class"``.
    longest : int
        Bytes that it may have.

    Raises
    ------
    BenchError
        For a file that cannot be read, is too large, or is not UTF-8.
    """
    try:
        size = require_regular(path)
        if size > longest:
            raise BenchError(f"{path} has {size} bytes, more than {longest}; give {wanted}")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        name = str(path) if str(path).isprintable() else shown(str(path))
        raise BenchError(f"cannot read {name}: {error.strerror}; give {wanted}") from None
