"""Names that become names of files: one gate for all of them, and paths as people write them."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PureWindowsPath

from bench.utils.errors import BenchError

LONGEST = 120
"""Bytes of a name in UTF-8. File systems allow 255; an ending, a process's number and a report's own words join it."""
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that have what follows them set from the other side."""
_LONGEST_PART, _LONGEST_PATH = 255, 4095
"""Bytes of a name, and of a path, that file systems take."""


def name_fault(name: str, *, longest: int = LONGEST) -> str | None:
    """Return why a name cannot be that of a file, in words that follow "it"; None if it can."""
    if not name.strip():
        return "is empty"
    if any(0xD800 <= ord(character) <= 0xDFFF for character in name):
        return "is no text: it has bytes that are not UTF-8"
    if any(map(_is_control, name)):
        return "has control characters"
    if "/" in name or "\\" in name or PureWindowsPath(name).drive:
        return "has a separator of folders"
    if name.startswith("."):
        return "begins with a dot"
    if name != name.strip():
        return "begins or ends with a blank"
    size = len(name.encode())
    if size > longest:
        return f"has {size} bytes, more than {longest}"
    return None


def _is_control(character: str) -> bool:
    """Return whether a terminal would obey a character: those that turn the direction of a line are among them."""
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in _DIRECTIONS


def file_name(name: str, what: str, *, longest: int = LONGEST) -> str:
    """Return a name that was given from outside and becomes the name of a file or folder.

    Every such name goes through here before anything is written, so that nothing is written outside the folder that
    was given.

    Parameters
    ----------
    what : str
        What is called so, for the message: ``"split"``.
    longest : int
        Bytes in UTF-8 that it may have.

    Raises
    ------
    BenchError
        For a name that is empty, too long or no text, has a separator, a drive or a control character, begins with a
        dot, or begins or ends with a blank.
    """
    fault = name_fault(name, longest=longest)
    if fault:
        raise BenchError(f"{what} {shown(name)} {fault}, and it becomes the name of a file; call it otherwise")
    return name


def plain(name: str) -> str:
    """Return a class name as it is compared: composed, lower case, ``_`` as a space, single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).lower().replace("_", " ").split())


def shown(name: str, *, longest: int = 60) -> str:
    """Return a name in quotation marks for a message: on one line, printable everywhere, and not endless."""
    # repr escapes control characters and lone surrogates, which no terminal could print.
    return repr(name if len(name) <= longest else f"{name[:longest]}...")


def printable(text: str) -> str:
    """Return text for people: control characters, and bytes of a file name that are no UTF-8, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def expand(path: Path) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by the home folder.

    Raises
    ------
    BenchError
        For a user who is not known, a path that no file can have, and one with control characters.
    """
    text = str(path)
    if "\0" in text:
        raise BenchError(f"{shown(text)} is no path: it has a zero byte; give another")
    if any(map(_is_control, text)):
        raise BenchError(f"{shown(text)} has control characters, which a terminal would obey; call it otherwise")
    longest = max((len(part.encode("utf-8", "surrogatepass")) for part in path.parts), default=0)
    if longest > _LONGEST_PART or len(text.encode("utf-8", "surrogatepass")) > _LONGEST_PATH:
        raise BenchError(f"{shown(text)} is too long for a path; choose a shorter one")
    try:
        return path.expanduser()
    except RuntimeError:
        raise BenchError(f"{path}: the home folder of {path.parts[0]} is not known; write the path out") from None


def require_no_secret(address: str, what: str, *, instead: str) -> None:
    """Refuse an address that holds a user, a password or a query, each of which can be a secret, and do not repeat it.

    Addresses of services go into messages, records and reports, so that all of them pass here.

    Parameters
    ----------
    what : str
        What has the address, for the message: ``"--search milvus"``.
    instead : str
        Where the secret belongs.

    Raises
    ------
    BenchError
        For an address with ``@``, ``?`` or ``#``.
    """
    if any(mark in address for mark in "@?#"):
        raise BenchError(
            f"{what}: the address holds a user, a password or a query, and it is written into records; {instead}"
        )
