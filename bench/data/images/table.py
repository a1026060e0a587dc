"""A CSV or JSON file of (path, class)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

from bench.data.class_names import clean
from bench.data.images.items import ImageItem, ImageSource, read_file
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.names import expand, shown
from bench.utils.texts import read_text

_COOP = ("train", "val", "test")


def image_table(table: Path, *, root: Path | None = None) -> ImageSource:
    """Return the images that a table lists.

    A CSV file has a header with ``path`` and ``class`` and may have ``split``; a JSON file is a list of such objects
    or of ``[path, class]`` pairs, an object of path to class, or a split of CoOp (``split_zhou_*.json``: lists of
    ``[path, label, class]`` under ``train``, ``val`` and ``test``). Classes are in the order of their names. A path
    may be written with backslashes, and a link is followed within the folder.

    Parameters
    ----------
    root : Path, optional
        The folder that paths start from; the table's own if left out.

    Raises
    ------
    BenchError
        For a table that is not UTF-8, a row without a path or class, a path that leaves the folder, an image that is
        listed twice, and class names that differ only in case.
    """
    rows = list(_rows(table))
    base = expand(root or _base(table, rows)).resolve()
    items = []
    changed: dict[str, str] = {}
    seen: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        path, written = row.get("path"), row.get("class")
        if not isinstance(path, str) or not path or written in (None, ""):
            raise BenchError(f"{table}: row {number} has no {'path' if not path else 'class'}; give path and class")
        if not isinstance(written, (str, int)) or isinstance(written, bool):
            raise BenchError(f"{table}: row {number}: the class {str(written)[:40]!r} is no name; put it in quotes")
        name = PurePosixPath(path.replace("\\", "/")).as_posix()
        other = seen.setdefault(normpath(name), name)
        if other != name:
            raise BenchError(f"{table}: row {number}: {shown(name)} is {shown(other)}, which is listed already")
        class_name = clean(str(written))
        if class_name != str(written):
            changed.setdefault(str(written), class_name)
        place = _place(base, name, f"{table}: row {number}")
        split = str(row.get("split") or "").strip() or "all"
        items.append(ImageItem(name, class_name, partial(read_file, place), split))
    notes = (
        [f"{table}: {len(changed)} class names were stripped or composed, e.g. {shown(next(iter(changed)))}"]
        if changed
        else []
    )
    return ImageSource(str(table), items, tuple(sorted({item.class_name for item in items})), (), tuple(notes))


def _base(table: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Return the table's folder, or the one in it that holds the first image: CoOp's paths start there."""
    first = rows[0].get("path") if rows else None
    if not isinstance(first, str) or not first:
        return table.parent
    try:
        if (table.parent / first).exists():
            return table.parent
        below = sorted(path for path in table.parent.iterdir() if path.is_dir() and (path / first).is_file())
    except (OSError, ValueError):  # a name that no file can have, which its row is refused or set aside for
        return table.parent
    return below[0] if len(below) == 1 else table.parent


def _place(base: Path, name: str, where: str) -> Path:
    """Return the file that a row names, which lies below the folder."""
    try:
        name.encode()
        place = (base / name).resolve()
    except ValueError:  # a zero byte, or what is no text
        raise BenchError(f"{where}: {shown(name)} is no path; write it otherwise") from None
    except (OSError, RuntimeError):
        # A link that leads to itself: it cannot lead out, and reading it says what is wrong with it.
        return base / name
    if not place.is_relative_to(base):
        raise BenchError(f"{where}: {shown(name, longest=200)} leaves {base}; set the root, or copy the file there")
    return place


def _rows(table: Path) -> Iterator[Mapping[str, Any]]:
    text = read_text(table, "a CSV or JSON file of path and class")
    if table.suffix.lower() != ".json":
        yield from _csv(table, text)
        return
    try:
        content = parse_json(text)
    except ValueError as error:
        raise BenchError(f"{table} is damaged: {one_line(error)}") from None
    if isinstance(content, dict) and set(content) & set(_COOP) and set(content) <= set(_COOP):
        yield from _coop(table, content)
    elif isinstance(content, dict):
        yield from ({"path": path, "class": name} for path, name in content.items())
    elif isinstance(content, list):
        for number, entry in enumerate(content, start=1):
            if isinstance(entry, list) and len(entry) == 2:
                yield {"path": entry[0], "class": entry[1]}
            elif isinstance(entry, dict):
                yield entry
            else:
                raise BenchError(f"{table}: entry {number} is neither an object nor a [path, class] pair")
    else:
        raise BenchError(f"{table} holds neither a list nor an object; see `bench data encode --help`")


def _coop(table: Path, content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    names: dict[Any, Any] = {}
    for split, rows in content.items():
        if not isinstance(rows, list):
            raise BenchError(f"{table}: {split!r} holds no list of [path, label, class]; fetch the split again")
        for number, row in enumerate(rows, start=1):
            whole = isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) and isinstance(row[2], str)
            if not whole or type(row[1]) is not int:
                raise BenchError(f"{table}: {split} {number} is no [path, label, class]; fetch the split again")
            path, label, name = row
            if names.setdefault(label, name) != name:
                raise BenchError(f"{table}: label {label} is both {names[label]!r} and {name!r}; fetch it again")
            yield {"path": path, "class": name, "split": split}


def _csv(table: Path, text: str) -> Iterator[Mapping[str, Any]]:
    # Line ends stay as they are: within quotation marks they are part of a field.
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        head = text.partition("\n")[0]
        columns = [name.strip() for name in reader.fieldnames or ()]
        missing = {"path", "class"} - set(columns)
        if missing:
            marks = (mark for mark in ";\t|" if {"path", "class"} <= {one.strip() for one in head.split(mark)})
            mark = next(marks, None)
            advice = "its first line names path and class"
            if mark is not None:
                advice = f"its columns are separated by {mark!r}; separate them by commas"
            raise BenchError(f"{table} has no column {sorted(missing)[0]!r}; {advice}")
        if len(set(columns)) < len(columns):
            raise BenchError(f"{table} has two columns of one name; rename one")
        reader.fieldnames = columns
        for number, row in enumerate(reader, start=1):
            if None in row:
                raise BenchError(
                    f"{table}: row {number} has more fields than the first line; put what holds a comma into quotes"
                )
            yield row
    except csv.Error as error:
        raise BenchError(
            f"{table}: after line {reader.line_num} it is no CSV ({error}); see its quotation marks"
        ) from None
