"""A CSV or JSON file of (path, class)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from bench.data.images.items import ImageItem, ImageSource, read_file
from bench.utils.errors import BenchError


def image_table(table: Path, *, root: Path | None = None) -> ImageSource:
    """Return the images that a table lists.

    A CSV file has a header with ``path`` and ``class`` and may have ``split``; a JSON file is a list of such objects
    or of ``[path, class]`` pairs, or an object of path to class. Classes are in the order of their names.

    Parameters
    ----------
    root : Path, optional
        The folder that paths start from; the table's own if left out.

    Raises
    ------
    BenchError
        For a row without a path or class, a path that leaves the folder, and class names that differ only in case.
    """
    base = (root or table.parent).resolve()
    items = []
    for number, row in enumerate(_rows(table), start=1):
        path, class_name = row.get("path"), row.get("class")
        if not isinstance(path, str) or not path or class_name in (None, ""):
            raise BenchError(f"{table}: row {number} has no {'path' if not path else 'class'}; give path and class")
        place = (base / path).resolve()
        if not place.is_relative_to(base):
            raise BenchError(f"{table}: row {number}: {path!r} leaves {base}; set the root, or copy the file there")
        name = PurePosixPath(path.replace("\\", "/")).as_posix()
        items.append(ImageItem(name, str(class_name), partial(read_file, place), str(row.get("split") or "all")))
    return ImageSource(str(table), items, tuple(sorted({item.class_name for item in items})))


def _rows(table: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
        content = json.loads(text) if table.suffix == ".json" else None
    except OSError as error:
        raise BenchError(f"cannot read {table}: {error.strerror}; give a CSV or JSON file of path and class") from None
    except ValueError as error:
        raise BenchError(f"{table} is damaged: {' '.join(str(error).split())}") from None
    if content is None:
        reader = csv.DictReader(text.splitlines())
        missing = {"path", "class"} - set(reader.fieldnames or ())
        if missing:
            raise BenchError(f"{table} has no column {sorted(missing)[0]!r}; its first line names path and class")
        yield from reader
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
