"""One folder a class, with or without a folder a split above."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.data.class_names import clean
from bench.data.images.items import ImageItem, ImageSource, SetAside, read_file
from bench.data.images.listing import Listing, is_image, list_folder, require_inside
from bench.data.splits import is_split
from bench.utils.errors import BenchError
from bench.utils.names import printable, shown


def _holds_images(folder: Path) -> bool:
    return any(is_image(entry.name) for entry in list_folder(folder).files)


def image_folder(root: Path) -> ImageSource:
    """Return the images below ``ROOT/CLASS/`` or ``ROOT/SPLIT/CLASS/``, classes in the order of their names.

    Splits are folders whose names :func:`bench.data.splits.is_split` knows, in any case. What is no image by its
    ending, hidden, or without a name in UTF-8 is set aside, and so are class folders without an image. Folders whose
    names differ only in blanks around them or in how an accent is written are one class if they lie in different
    splits.

    Raises
    ------
    BenchError
        If the folder lies one level too high or too deep, a link leaves it, folders of classes lie beside splits,
        images beside the classes of one split of several, or class names differ only in case.
    """
    if not root.is_dir():
        raise BenchError(f"{root} is no folder; give a folder that holds one folder of images a class")
    top = list_folder(root)
    if any(is_image(entry.name) for entry in top.files):
        raise BenchError(f"{root} holds images but no class folders; it is one level too deep, give {root.parent}")
    splits = _splits(root, top)
    aside = [SetAside(printable(name), reason) for name, reason in top.left]
    reader = _Reader(root, root.resolve(), aside)
    for split, folder in splits.items():
        reader.read(split, folder, top if folder == root else list_folder(folder))
    names = sorted({item.class_name for item in reader.items})
    return ImageSource(str(root), reader.items, tuple(names), tuple(aside), tuple(reader.notes))


def _splits(root: Path, top: Listing) -> dict[str, Path]:
    """Return the folders of splits by name; the root itself as ``all`` where its folders are classes."""
    named = [entry for entry in top.folders if is_split(entry.name)]
    others = [entry.name for entry in top.folders if not is_split(entry.name)]
    loose = [Path(entry.path) for entry in named if _holds_images(Path(entry.path))]
    if len(named) > len(loose) > 0 and not others:
        raise BenchError(f"{loose[0]} is a split by its name, and images lie beside its classes; move them into one")
    if not named or loose:
        return {"all": root}
    if not others:
        return {entry.name: Path(entry.path) for entry in named}
    if any(_holds_images(Path(below.path)) for entry in named for below in list_folder(Path(entry.path)).folders):
        raise BenchError(
            f"{root} holds {', '.join(shown(entry.name) for entry in named)}, which are splits by their names, and "
            f"{shown(others[0])}, which is none; call it train, test, val or memory, or move it elsewhere"
        )
    return {"all": root}


@dataclass(eq=False)
class _Reader:
    """Collects the images of class folders."""

    root: Path
    resolved: Path
    aside: list[SetAside]
    items: list[ImageItem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def read(self, split: str, folder: Path, listing: Listing) -> None:
        """Take the images of every class folder of a split."""
        if folder != self.root:
            self._leave_out(folder, listing)
        known: dict[str, str] = {}
        for entry in listing.folders:
            require_inside(entry, self.resolved)
            name = clean(entry.name)
            other = known.setdefault(name, entry.name)
            if other != entry.name:
                raise BenchError(
                    f"{folder}: folders {other!r} and {entry.name!r} differ only in blanks or in how accents are "
                    "written; join them"
                )
            if name != entry.name:
                self.notes.append(f"folder {shown(entry.name)} is the class {name!r}")
            place = Path(entry.path)
            before = len(self.items), len(self.aside)
            self._class(name, split, place)
            _check_level(place)
            if (len(self.items), len(self.aside)) == before:
                self.aside.append(SetAside(self._name(place), "a class folder without an image"))

    def _class(self, class_name: str, split: str, folder: Path) -> None:
        for path in self._walk(folder):
            name = self._name(path)
            if is_image(path.name):
                self.items.append(ImageItem(name, class_name, partial(read_file, path), split))
            else:
                self.aside.append(SetAside(name, f"not an image file ({path.suffix or 'no ending'})"))

    def _walk(self, folder: Path) -> Iterator[Path]:
        """Yield the files of a folder, and then those of the folders in it, at any depth."""
        waiting = [folder]
        while waiting:
            place = waiting.pop()
            listing = list_folder(place)
            self._leave_out(place, listing)
            for entry in (*listing.files, *listing.folders):
                require_inside(entry, self.resolved)
            yield from (Path(entry.path) for entry in listing.files)
            waiting += [Path(entry.path) for entry in reversed(listing.folders)]

    def _leave_out(self, folder: Path, listing: Listing) -> None:
        self.aside += [SetAside(self._name(folder / name), reason) for name, reason in listing.left]

    def _name(self, path: Path) -> str:
        return printable(path.relative_to(self.root).as_posix())


def _check_level(class_folder: Path) -> None:
    """Raise if what should be a class holds only folders that are classes, several with images each, or splits."""
    listing = list_folder(class_folder)
    if listing.files or not listing.folders:
        return
    below = [Path(entry.path) for entry in listing.folders]
    pictured = sum(map(_holds_images, below))
    splits = not pictured and all(is_split(folder.name) for folder in below)
    if len(below) == 1 and not splits:
        _check_level(below[0])
    if pictured >= 2 or splits:
        raise BenchError(
            f"{class_folder} holds folders of images where images of one class should be: the data lie one level too "
            f"deep; give {class_folder}"
        )
