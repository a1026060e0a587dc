"""The folder of a report: it holds this report's files and none of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from bench.utils.atomic import sweep, write_atomically
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.texts import require_regular

WRITTEN = "report-files.json"
"""The file that names every file of the report with the SHA-256 of its content."""


def publish(out: Path, files: Mapping[str, bytes], *, whole: bool = True) -> None:
    """Write the files, named relative to ``out``, and remove those that an earlier report wrote and this one does not.

    A file is removed only if an earlier report names it and it still is what that report wrote; and none is while the
    files are not the ``whole`` report yet.

    Raises
    ------
    BenchError
        If the folder cannot be written to, or its list of files is damaged.
    """
    before = _written(out / WRITTEN)
    # What a killed report left half-written may lie where this one has nothing to write.
    for place in (out, *(out / Path(name).parent for name in before if _inside(out / Path(name).parent, out))):
        sweep(place)
    now = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    # A report that is stopped half-way leaves both lists, so that the next one still knows what to remove.
    _remember(out, {**before, **now})
    for name, content in files.items():
        write_atomically(out / name, content)
    if not whole:
        return
    for name in sorted(set(before) - set(now)):
        path = out / name
        if _inside(path, out) and path.is_file() and _sha256(path) == before[name]:
            path.unlink()
    _remember(out, now)


def _written(path: Path) -> dict[str, str]:
    try:
        require_regular(path)
        recorded = parse_json(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(content) for name, content in recorded.items()}
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise BenchError(f"{path.parent} is, or lies in, a file and no folder; choose another --out") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is damaged ({one_line(error)}); delete the folder, or choose another --out") from None


def _remember(out: Path, files: Mapping[str, str]) -> None:
    text = json.dumps({"files": dict(files)}, indent=1, sort_keys=True)
    write_atomically(out / WRITTEN, text + "\n")


def _inside(path: Path, folder: Path) -> bool:
    """Return whether a path, links followed, lies in a folder: a list may have been edited."""
    return path.resolve().is_relative_to(folder.resolve())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
