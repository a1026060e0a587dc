"""One folder a class, with or without a folder a split above."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.data.images.items import ImageItem, ImageSource, SetAside, read_file
from bench.utils.errors import BenchError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})

_SPLIT = re.compile(r"train(ing)?|test|val(id(ation)?)?|query|support|memory|shot\d+", re.IGNORECASE)
"""Names of folders that are splits and not classes."""


def _children(folder: Path) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Return the folders and the files of a folder by name, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise BenchError(f"cannot read {folder}: {error.strerror}; give a folder of images") from None
    return [e for e in visible if e.is_dir()], [e for e in visible if not e.is_dir()]


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _holds_images(folder: Path) -> bool:
    return any(_is_image(entry.name) for entry in _children(folder)[1])


def _inside(entry: os.DirEntry[str], root: Path) -> None:
    # Only a link can lead out, and asking the file system about every file would double the time.
    if not entry.is_symlink():
        return
    target = Path(entry.path).resolve()
    if not target.is_relative_to(root):
        raise BenchError(f"{entry.path} is a link that leaves {root}; copy the file there, or give its own folder")
    if Path(entry.path).parent.resolve().is_relative_to(target):
        raise BenchError(f"{entry.path} is a link to a folder that it lies in; remove it")


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    folders, files = _children(folder)
    for entry in files:
        _inside(entry, root)
        yield Path(entry.path)
    for entry in folders:
        _inside(entry, root)
        yield from _walk(Path(entry.path), root)


def image_folder(root: Path) -> ImageSource:
    """Return the images below ``ROOT/CLASS/`` or ``ROOT/SPLIT/CLASS/``, classes in the order of their names.

    Splits are folders called train, test, val, validation, query, support, memory or shotN. Files that are no
    images by their ending are set aside.

    Raises
    ------
    BenchError
        If the folder lies one level too high or too deep, a link leaves it, or class names differ only in case.
    """
    if not root.is_dir():
        raise BenchError(f"{root} is no folder; give a folder that holds one folder of images a class")
    folders, files = _children(root)
    if any(_is_image(entry.name) for entry in files):
        raise BenchError(f"{root} holds images but no class folders; it is one level too deep, give {root.parent}")
    if (
        folders
        and all(_SPLIT.fullmatch(entry.name) for entry in folders)
        and not any(_holds_images(Path(entry.path)) for entry in folders)
    ):
        splits = {entry.name: Path(entry.path) for entry in folders}
    else:
        splits = {"all": root}
    resolved = root.resolve()
    items: list[ImageItem] = []
    aside: list[SetAside] = []
    names: set[str] = set()
    for split, folder in splits.items():
        for entry in _children(folder)[0]:
            _inside(entry, resolved)
            names.add(entry.name)
            found = list(_walk(Path(entry.path), resolved))
            _check_level(Path(entry.path))
            for path in found:
                name = path.relative_to(root).as_posix()
                if _is_image(path.name):
                    items.append(ImageItem(name, entry.name, partial(read_file, path), split))
                else:
                    aside.append(SetAside(name, f"not an image file ({path.suffix or 'no ending'})"))
    return ImageSource(str(root), items, tuple(sorted(names)), tuple(aside))


def _check_level(class_folder: Path) -> None:
    """Raise if what should be a class holds only folders that are classes, several with images each, or splits."""
    folders, files = _children(class_folder)
    if files or not folders:
        return
    below = [Path(entry.path) for entry in folders]
    pictured = sum(map(_holds_images, below))
    splits = not pictured and all(_SPLIT.fullmatch(folder.name) for folder in below)
    if len(below) == 1 and not splits:
        _check_level(below[0])
    if pictured >= 2 or splits:
        raise BenchError(
            f"{class_folder} holds folders of images where images of one class should be: the data lie one level too "
            f"deep; give {class_folder}"
        )
