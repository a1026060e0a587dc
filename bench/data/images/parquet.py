"""Parquet files as the Hugging Face library datasets writes them: an image and a class a row, read when asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.data.class_names import clean
from bench.data.images.items import MAX_BYTES, ImageItem, ImageSource, SetAside, Unusable
from bench.data.splits import usual_role
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.texts import require_regular

_IMAGES = ("image", "img", "jpg", "png")
CLASS_COLUMNS = ("label", "fine_label", "class", "class_name", "labels")
"""Columns by their usual names, the first that is there."""
_MOST_ROWS = 20_000_000
"""Of a file; all of ImageNet-21k has fourteen million images."""
_LARGEST_GROUP = 1 << 30
"""Bytes of a group's images and labels."""


@dataclass(frozen=True)
class _Columns:
    """Which columns hold the image and the class, and the names of class numbers."""

    image: str
    label: str
    names: tuple[str, ...] | None


def parquet_files(files: Sequence[Path], *, class_names: Sequence[str] | None = None) -> ImageSource:
    """Return the images of Parquet files; labels are read now, images one group of rows at a time.

    An image is a column of bytes or of ``{bytes, path}``; a class is a name, or a number whose name stands in the
    file's features or in ``class_names``. The split is what the file's name or folder says (``train-00000-of-00002``).

    Raises
    ------
    BenchError
        For a file that is none, without an image or class column, and numbers without names.
    """
    splits = _splits(files)
    # Names of items are as short as tells them apart: the hub calls the first file of each split 0000.
    alone = len({file.stem for file in files}) == len(files)
    items: list[ImageItem] = []
    aside: list[SetAside] = []
    order: dict[str, None] = {}
    for file in files:
        columns, groups = _labels(file, class_names)
        order |= dict.fromkeys(columns.names or ())
        row = 0
        for group, labels in enumerate(groups):
            for within, label in enumerate(labels):
                name = f"{file.stem}/{row}" if alone else f"{file.parent.name}/{file.stem}/{row}"
                row += 1
                called = _called(label, columns, file)
                if called is None:
                    aside.append(SetAside(name, "a row without a class"))
                    continue
                order.setdefault(called, None)
                read = partial(_read, file, group, within, columns.image)
                items.append(ImageItem(name, called, read, splits[file]))
    known = tuple(order) if class_names is not None or any(order) else ()
    origin = str(files[0]) if len(files) == 1 else str(files[0].parent)
    names = known if class_names is not None else _in_order(known, items)
    return ImageSource(origin, items, names, tuple(aside))


def _in_order(known: Sequence[str], items: Sequence[ImageItem]) -> tuple[str, ...]:
    """Return the classes that have an image, those of a file's features in their order."""
    there = {item.class_name for item in items}
    return tuple(name for name in known if name in there)


def _splits(files: Sequence[Path]) -> dict[Path, str]:
    told = {}
    for file in files:
        words = [*re.split(r"[^A-Za-z]+", file.stem), file.parent.name]
        words = [word for word in words if usual_role(word) is not None]
        if words:
            told[file] = words[0]
    return told if len(told) == len(files) else dict.fromkeys(files, "all")


def _labels(file: Path, class_names: Sequence[str] | None) -> tuple[_Columns, list[list[Any]]]:
    try:
        require_regular(file)
        with pq.ParquetFile(file) as opened:
            columns = _columns(file, opened.schema_arrow, class_names)
            _require_bounded(file, opened.metadata, columns)
            groups = [
                opened.read_row_group(n, columns=[columns.label]).column(0).to_pylist()
                for n in range(opened.num_row_groups)
            ]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BenchError(f"{file} is no readable Parquet file ({one_line(error)}); fetch it again") from None
    return columns, groups


def _columns(file: Path, schema: pa.Schema, class_names: Sequence[str] | None) -> _Columns:
    features = _features(schema)
    images = [field.name for field in schema if _is_image(field.type)]
    labels = [name for name in schema.names if name in CLASS_COLUMNS]
    declared = [name for name, kind in features.items() if kind.get("_type") == "ClassLabel" and name in schema.names]
    image = next((name for name in _IMAGES if name in images), images[0] if len(images) == 1 else None)
    label = next((name for name in CLASS_COLUMNS if name in (*labels, *declared)), None)
    if label is None and len(declared) == 1:
        label = declared[0]
    for what, found in (("an image", image), ("a class", label)):
        if found is None:
            raise BenchError(
                f"{file} has no column that is {what} for sure among {', '.join(schema.names)}; call one "
                f"{'image' if what == 'an image' else 'label'}"
            )
    assert image is not None
    assert label is not None
    names = features.get(label, {}).get("names")
    if names and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise BenchError(f"{file}: the class names in its features are no list of texts; give --class-names")
    given = tuple(class_names) if class_names is not None else tuple(map(clean, names)) if names else None
    return _Columns(image, label, given)


def _require_bounded(file: Path, about: pq.FileMetaData, columns: _Columns) -> None:
    """Raise for rows without number, and groups that unpack to more than a machine holds: a few bytes can say so."""
    if about.num_rows > _MOST_ROWS:
        raise BenchError(f"{file} has {about.num_rows} rows, more than {_MOST_ROWS}; divide it")
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        parts = [group.column(n) for n in range(group.num_columns)]
        wanted = (part for part in parts if part.path_in_schema.split(".")[0] in (columns.image, columns.label))
        size = sum(part.total_uncompressed_size for part in wanted)
        if not 0 <= size <= _LARGEST_GROUP:
            raise BenchError(f"{file}: a group of rows unpacks to {size} bytes, more than {_LARGEST_GROUP}; divide it")


def _features(schema: pa.Schema) -> Mapping[str, Mapping[str, Any]]:
    """Return what the library says of the columns; nothing if it did not write the file."""
    try:
        content = parse_json((schema.metadata or {}).get(b"huggingface", b"{}").decode())
        found = content["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return (
        {str(name): kind for name, kind in found.items() if isinstance(kind, dict)} if isinstance(found, dict) else {}
    )


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(n).name == "bytes" for n in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _called(label: Any, columns: _Columns, file: Path) -> str | None:
    if isinstance(label, bool) or label is None or label == -1 or label == "":
        return None
    if isinstance(label, str):
        if columns.names is not None and clean(label) not in columns.names:
            raise BenchError(f"{file}: class {label!r} is not among the {len(columns.names)} class names")
        return clean(label)
    if not isinstance(label, int):
        raise BenchError(f"{file}: column {columns.label} holds {type(label).__name__}, no class; give one a row")
    if columns.names is None:
        return str(label)
    if not 0 <= label < len(columns.names):
        raise BenchError(
            f"{file}: class {label} has no name, there are {len(columns.names)}; give a name for every one"
        )
    return columns.names[label]


def _read(file: Path, group: int, row: int, column: str) -> bytes:
    try:
        found = _group(file, group, column)[row].as_py()
    except (OSError, pa.ArrowException) as error:
        raise Unusable(f"unreadable file: {one_line(error)}") from None
    data = found.get("bytes") if isinstance(found, dict) else found
    if not data:
        raise Unusable("a row without the bytes of an image")
    if len(data) > MAX_BYTES:
        raise Unusable(f"huge file of {len(data)} bytes, more than {MAX_BYTES}")
    return bytes(data)


@lru_cache(maxsize=2)
def _group(file: Path, group: int, column: str) -> Any:
    """Return one group's images; rows are asked for one after the other, so two groups are enough to keep."""
    with pq.ParquetFile(file) as opened:
        return opened.read_row_group(group, columns=[column]).column(0)
