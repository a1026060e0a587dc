"""Trees of folders that are not one folder a class: MVTec's categories with defects, classes under groups."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.data.images.folder import SUFFIXES
from bench.data.images.items import ImageItem, ImageSource, read_file
from bench.utils.errors import BenchError

_GOOD = ("train", "good")
_MASKS = "ground_truth"


def is_mvtec(root: Path) -> bool:
    """Return whether a folder is laid out as MVTec AD, or is one of its categories: ``train/good``, ``test/DEFECT``."""
    return any((place / "train" / "good").is_dir() and (place / "test").is_dir() for place in _categories(root))


def mvtec_tree(root: Path) -> ImageSource:
    """Return the images of MVTec AD, or of a category of it, a class for each category and defect.

    Bergmann et al., MVTec AD, CVPR 2019. Its training images are all good, so that a classifier would have no example
    of a defect: training and test images are put together, to be cut with ``--hold-out``. Masks are left out.
    """
    items = []
    for category in _categories(root):
        if not category.joinpath(*_GOOD).is_dir():
            continue
        prefix = "" if category == root else f"{category.name} "
        for split in ("train", "test"):
            for defect in _folders(category / split):
                name = prefix + defect.name.replace("_", " ")
                items += [_item(root, path, name) for path in _images(defect)]
    return ImageSource(
        str(root),
        items,
        tuple(sorted({item.class_name for item in items})),
        notes=("training and test images are put together: the training images show nothing but good ones",),
    )


def nested_tree(root: Path) -> ImageSource:
    """Return the images of ``GROUP/CLASS/IMAGE``, as iNaturalist's sets of 2017 and 2018 lie.

    A class is called as its folder, or ``GROUP/CLASS`` where two groups have one of the name.

    Raises
    ------
    BenchError
        If no folder two levels below holds an image.
    """
    found = [(group, below) for group in _folders(root) for below in _folders(group) if _images(below)]
    if not found:
        raise BenchError(f"{root} holds no GROUP/CLASS/IMAGE; without --nested it is read as CLASS/IMAGE")
    names = [below.name for _, below in found]
    items = []
    for group, below in found:
        name = below.name if names.count(below.name) == 1 else f"{group.name}/{below.name}"
        items += [_item(root, path, name) for path in _images(below)]
    return ImageSource(str(root), items, tuple(sorted({item.class_name for item in items})))


def _categories(root: Path) -> list[Path]:
    return [root] if root.joinpath(*_GOOD).is_dir() else _folders(root)


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != _MASKS)


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _item(root: Path, path: Path, class_name: str) -> ImageItem:
    return ImageItem(path.relative_to(root).as_posix(), class_name, partial(read_file, path))
