"""What source files say, kept between processes: to parse them takes longer than a small run."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.utils import source
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError

_MOST = 1000
"""Files of which is kept what they say; the package has fewer."""

_HELD: dict[Path, tuple[tuple[int, int], frozenset[str]]] = {}
"""Of each index that was read here: when it was written and its size, and the keys it holds."""


@contextmanager
def source_index(path: Path) -> Iterator[None]:
    """Look up in a file what :func:`bench.utils.source.read` has found before, and write there what is new.

    A source file's content is the key, and the whole holds for one Python and for one state of the code that reads, so
    that nothing in it can be out of date. An index that is damaged, or cannot be written, is as none.
    """
    stamp = source.stamp(path)
    if path not in _HELD or _HELD[path][0] != stamp:
        found = _read(path)
        _HELD[path] = stamp, frozenset(found)
        source.KNOWN.update({key: one for key, one in found.items() if key not in source.KNOWN})
    yield
    known = dict(source.KNOWN)
    if known.keys() - _HELD[path][1]:
        with suppress(BenchError, OSError):
            kept = dict([*known.items()][-_MOST:])
            _write(path, kept)
            _HELD[path] = source.stamp(path), frozenset(kept)


def _reader() -> str:
    """Return what besides a file's content decides what is found in it: this Python, and the code that reads."""
    return f"{sys.version} {hashlib.sha256(Path(source.__file__).read_bytes()).hexdigest()}"


def _read(path: Path) -> dict[str, source.Source]:
    try:
        said, _, text = path.read_bytes().partition(b"\n")
        if said.decode() != hashlib.sha256(text).hexdigest():
            return {}
        content = json.loads(text)
        if content["reader"] != _reader():
            return {}
        return {key: _source(*values) for key, values in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _source(code: str, imports: list[Any], texts: list[str]) -> source.Source:
    return source.Source(code, tuple((level, module, name) for level, module, name in imports), frozenset(texts))


def _write(path: Path, known: dict[str, source.Source]) -> None:
    files = {key: (one.digest, one.imports, sorted(one.texts)) for key, one in known.items()}
    text = json.dumps({"reader": _reader(), "files": files}).encode()
    write_atomically(path, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
