"""Names of classes that stand beside the images: for synset folders, and for the numbers of shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.data.class_names import clean, read_classes
from bench.data.images.items import ImageSource
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.names import shown
from bench.utils.texts import read_text

BESIDE = "classnames.txt"
"""A file of names that is found by itself, as CLIP_benchmark and CoOp call it."""


def beside(folder: Path) -> Path | None:
    """Return the file of names that lies in a folder; None if there is none."""
    path = folder / BESIDE
    return path if path.is_file() else None


def with_names(source: ImageSource, file: Path) -> ImageSource:
    """Return a source whose classes are called as a file says.

    The file has a line ``FOLDER NAME`` a class (of ``n01440764 tench, Tinca tinca`` the name is what stands before the
    comma), or is a JSON object of the same; or it has a name a line in the order of the classes.

    Raises
    ------
    BenchError
        For a file that names other classes, or another number of them.
    """
    given = _by_folder(file, source.class_names)
    if given is None:
        ordered = read_classes(file, file.stem)
        if len(ordered) != len(source.class_names):
            raise BenchError(
                f"{file} names {len(ordered)} classes and {source.origin} has {len(source.class_names)}, e.g. "
                f"{shown(source.class_names[0])}; give a line FOLDER NAME for each"
            )
        given = dict(zip(source.class_names, ordered, strict=True))
    # Of one name for two classes (ImageNet has two cranes) each keeps its own beside it.
    counts = {name: list(given.values()).count(name) for name in given.values()}
    called = {
        own: f"{name} ({own})" if counts[name] > 1 else name for own, name in given.items() if own in source.class_names
    }
    items = [replace(item, class_name=called[item.class_name]) for item in source.items]
    return replace(source, items=items, class_names=tuple(called[name] for name in source.class_names))


def _by_folder(file: Path, classes: Sequence[str]) -> dict[str, str] | None:
    """Return names by class folder; None if the file is a plain list of names."""
    text = read_text(file, "a file of class names")
    pairs: dict[str, str] = {}
    if file.suffix.lower() == ".json":
        try:
            content = parse_json(text)
        except ValueError as error:
            raise BenchError(f"{file} is damaged: {one_line(error)}") from None
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            return None
        pairs = {clean(key): clean(value) for key, value in content.items()}
    else:
        for line in text.splitlines():
            folder, _, name = line.replace("\t", " ").strip().partition(" ")
            if folder and name.strip():
                pairs[clean(folder)] = clean(name).partition(",")[0].strip()
    missing = [name for name in classes if not pairs.get(name)]
    if len(missing) == len(classes):
        return None
    if missing:
        raise BenchError(f"{file} has no name for class {shown(missing[0])}; give a line FOLDER NAME for each class")
    return pairs
