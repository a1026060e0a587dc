"""Image folders with a table of metadata, as the imagefolder of the Hugging Face library datasets has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from bench.data.class_names import clean
from bench.data.images.items import ImageItem, ImageSource, read_file
from bench.data.images.parquet import CLASS_COLUMNS
from bench.data.splits import is_split
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.names import printable, shown
from bench.utils.texts import read_text

_TABLES = ("metadata.csv", "metadata.jsonl")


def metadata_tables(folder: Path) -> dict[str, Path]:
    """Return the tables of a folder, or of its folders of splits, by split; empty where classes are folders."""
    here = _table(folder)
    if here is not None:
        return {"all": here}
    splits = sorted(path for path in folder.iterdir() if path.is_dir() and is_split(path.name))
    found = {path.name: table for path in splits if (table := _table(path)) is not None}
    return found if len(found) == len(splits) else {}


def described_images(
    folder: Path, tables: Mapping[str, Path], *, class_names: Sequence[str] | None = None
) -> ImageSource:
    """Return the images that tables of metadata name.

    A row has the image under ``file_name``, relative to the table, and its class under ``label``, ``class`` or the
    like; a class that is a number indexes ``class_names``.

    Raises
    ------
    BenchError
        For a table without these columns, a row without a value, a path that leaves the folder, and numbers without
        names.
    """
    items = []
    for split, table in tables.items():
        for number, row in enumerate(_rows(table), start=1):
            where = f"{printable(str(table))}: row {number}"
            place, name = _place(folder, table, row.get("file_name"), where)
            items.append(ImageItem(name, _class(row, where, class_names), partial(read_file, place), split))
    names = tuple(class_names) if class_names is not None else tuple(sorted({item.class_name for item in items}))
    return ImageSource(str(folder), items, names)


def _table(folder: Path) -> Path | None:
    there = [folder / name for name in _TABLES if (folder / name).is_file()]
    if len(there) > 1:
        raise BenchError(f"{folder} has both {_TABLES[0]} and {_TABLES[1]}; remove one")
    return there[0] if there else None


def _rows(table: Path) -> Iterator[Mapping[str, Any]]:
    text = read_text(table, "a table of metadata")
    if table.suffix == ".csv":
        try:
            yield from csv.DictReader(io.StringIO(text, newline=""), strict=True)
        except csv.Error as error:
            raise BenchError(f"{table} is no CSV ({error}); see its quotation marks") from None
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = parse_json(line)
            except ValueError as error:
                raise BenchError(f"{table}: line {number} is no JSON ({one_line(error)})") from None
            if not isinstance(row, dict):
                raise BenchError(f"{table}: line {number} is no object; each holds file_name and label")
            yield row


def _place(folder: Path, table: Path, written: Any, where: str) -> tuple[Path, str]:
    if not isinstance(written, str) or not written:
        raise BenchError(f"{where} has no file_name; the table names each image, relative to itself")
    name = PurePosixPath(written.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or "\0" in written:
        raise BenchError(f"{where}: {shown(written, longest=200)} leaves {folder}; copy the file there")
    place = table.parent / name
    if place.is_symlink() and not place.resolve().is_relative_to(folder.resolve()):
        raise BenchError(f"{where}: {shown(written, longest=200)} is a link that leaves {folder}; copy the file there")
    return place, printable(place.relative_to(folder).as_posix())


def _class(row: Mapping[str, Any], where: str, class_names: Sequence[str] | None) -> str:
    column = next((name for name in CLASS_COLUMNS if name in row), None)
    if column is None:
        raise BenchError(
            f"{where} has no class; call its column label, or remove the table where folders are the classes"
        )
    written = row[column]
    if isinstance(written, bool) or not isinstance(written, (str, int)) or written == "":
        raise BenchError(f"{where}: {column} holds {str(written)[:40]!r}, which is no class; give one a row")
    text = clean(str(written))
    if class_names is None or text in class_names:
        return text
    if not text.isdecimal() or int(text) >= len(class_names):
        raise BenchError(f"{where}: class {shown(text)} is not among the {len(class_names)} class names")
    return class_names[int(text)]
