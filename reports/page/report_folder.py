"""The folder of a report: it holds this report's files and none of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bench.utils.atomic import replacing, sweep, write_atomically
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.texts import require_regular

WRITTEN = "report-files.json"
"""The file that names every file of the report with the SHA-256 of its content."""
_PAGE = "report.html"


def publish(out: Path, files: Mapping[str, bytes], *, whole: bool = True) -> None:
    """Write the files, named relative to ``out``, and remove those that an earlier report wrote and this one does not.

    Every file is written beside its place before the first is moved there, so that a full disk leaves the folder as it
    was. A file is removed only if an earlier report names it and it still is what that report wrote; and none is while
    the files are not the ``whole`` report yet.

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
    made = _missing_folders(out, files)
    try:
        with ExitStack() as stack:
            # The last that is begun is the first that is moved. A report that is stopped half-way leaves both lists, so
            # that the next one still knows what to remove, and the page comes after all that it names.
            for name in sorted(files, key=lambda name: name != _PAGE):
                stack.enter_context(replacing(out / name)).write_bytes(files[name])
            stack.enter_context(replacing(out / WRITTEN)).write_bytes(_listed({**before, **now}))
    except BaseException:
        _remove_empty(made)
        raise
    if not whole:
        return
    for name in sorted(set(before) - set(now)):
        path = out / name
        if _inside(path, out) and path.is_file() and _sha256(path) == before[name]:
            path.unlink()
    write_atomically(out / WRITTEN, _listed(now))


@contextmanager
def unfinished(out: Path, files: Mapping[str, bytes]) -> Iterator[None]:
    """Have files of a report that is not whole yet in its folder; if the block fails, the folder is as it was before.

    Raises
    ------
    BenchError
        As :func:`publish`.
    """
    made = _missing_folders(out, files)
    paths = [out / name for name in (*files, WRITTEN)]
    before = {path: path.read_bytes() if path.is_file() else None for path in paths}
    publish(out, files, whole=False)
    try:
        yield
    except Exception:
        # What goes first leaves room for the rest, should the disk be full. What the block failed with is said, whether
        # or not the folder can still be written to.
        with suppress(OSError, BenchError):
            for path in (path for path, content in before.items() if content is None):
                path.unlink(missing_ok=True)
            for path, content in before.items():
                if content is not None:
                    write_atomically(path, content)
            _remove_empty(made)
        raise


def _missing_folders(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Return the folders that are made for some files, the innermost first."""
    folders = {folder for name in files for folder in (out / name).parents if not folder.exists()}
    return sorted(folders, key=lambda folder: len(folder.parts), reverse=True)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


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


def _listed(files: Mapping[str, str]) -> bytes:
    return (json.dumps({"files": dict(files)}, indent=1, sort_keys=True) + "\n").encode()


def _inside(path: Path, folder: Path) -> bool:
    """Return whether a path, links followed, lies in a folder: a list may have been edited."""
    return path.resolve().is_relative_to(folder.resolve())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
