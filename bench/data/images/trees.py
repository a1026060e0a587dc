"""Trees of folders that are not one folder a class: MVTec's categories with defects, classes under groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.data.class_names import clean
from bench.data.images.items import ImageItem, ImageSource, SetAside, read_file
from bench.data.images.listing import Listing, list_folder, require_inside
from bench.utils.errors import BenchError
from bench.utils.names import printable

_GOOD = ("train", "good")
_MASKS = "ground_truth"


def is_mvtec(root: Path) -> bool:
    """Return whether a folder is laid out as MVTec AD, or is one of its categories: ``train/good``, ``test/DEFECT``."""
    return any((place / "train" / "good").is_dir() and (place / "test").is_dir() for place in _categories(root))


def mvtec_tree(root: Path) -> ImageSource:
    """Return the images of MVTec AD, or of a category of it, a class for each category and defect.

    Bergmann et al., MVTec AD, CVPR 2019. Its training images are all good, so that a classifier would have no example
    of a defect: training and test images are put together, to be cut with ``--hold-out``. Masks are left out.

    Raises
    ------
    BenchError
        If a link leaves the folder.
    """
    tree = _Tree(root)
    for category in _categories(root):
        if not category.joinpath(*_GOOD).is_dir():
            continue
        if category != root:
            tree.left_out(category)
        prefix = "" if category == root else f"{category.name} "
        for split in ("train", "test"):
            for defect in tree.folders(category / split):
                tree.add(clean(prefix + defect.name.replace("_", " ")), defect)
    return tree.source("training and test images are put together: the training images show nothing but good ones")


def nested_tree(root: Path) -> ImageSource:
    """Return the images of ``GROUP/CLASS/IMAGE``, as iNaturalist's sets of 2017 and 2018 lie.

    A class is called as its folder, or ``GROUP/CLASS`` where two groups have one of the name.

    Raises
    ------
    BenchError
        If no folder two levels below holds an image, or a link leaves the folder.
    """
    tree = _Tree(root)
    found = [(group, below) for group in tree.folders(root) for below in tree.folders(group)]
    names = [clean(below.name) for _, below in found]
    for (group, below), name in zip(found, names, strict=True):
        tree.add(name if names.count(name) == 1 else f"{clean(group.name)}/{name}", below)
    if not tree.items:
        raise BenchError(f"{root} holds no GROUP/CLASS/IMAGE; without --nested it is read as CLASS/IMAGE")
    return tree.source()


def _categories(root: Path) -> list[Path]:
    if root.joinpath(*_GOOD).is_dir() or not root.is_dir():
        return [root]
    return [Path(entry.path) for entry in list_folder(root).folders]


@dataclass(eq=False)
class _Tree:
    """The images of class folders that are found somewhere below a folder, and what was left out on the way."""

    root: Path
    items: list[ImageItem] = field(default_factory=list)
    aside: list[SetAside] = field(default_factory=list)

    def folders(self, place: Path) -> list[Path]:
        """Return the folders in a folder, but those of masks; without such a folder there are none."""
        return [Path(entry.path) for entry in self.left_out(place).folders if entry.name != _MASKS]

    def left_out(self, place: Path) -> Listing:
        """Return what lies in a folder after noting what is left out of it."""
        if not place.is_dir():
            return Listing()
        found = list_folder(place)
        self.aside += [SetAside(self._name(place / name), reason) for name, reason in found.left]
        for entry in (*found.folders, *found.files):
            require_inside(entry, self.root.resolve())
        return found

    def add(self, class_name: str, place: Path) -> None:
        """Take the images of a class folder."""
        images = self.left_out(place).images
        if not images:
            self.aside.append(SetAside(self._name(place), "a class folder without an image"))
        self.items += [ImageItem(self._name(path), class_name, partial(read_file, path)) for path in images]

    def source(self, *notes: str) -> ImageSource:
        """Return what was found."""
        names = tuple(sorted({item.class_name for item in self.items}))
        return ImageSource(str(self.root), self.items, names, tuple(self.aside), notes)

    def _name(self, path: Path) -> str:
        return printable(path.relative_to(self.root).as_posix())
