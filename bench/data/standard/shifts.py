"""ImageNet's training images with queries from elsewhere: other photographs, drawings, views, or labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.data.images.items import ImageItem, read_file
from bench.data.images.listing import list_folder
from bench.data.standard.layout import RawDataset, lines
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.texts import read_text


def imagenet_shift(root: Path, *, train: str, names: str, queries: str, numbered: bool = False) -> RawDataset:
    """Read ImageNet's training images as support, and class folders of another set as queries.

    Only classes that the queries have take part: 200 of ImageNet-A and -R.

    Parameters
    ----------
    train, queries : str
        Folders of class folders.
    names : str
        File of ``synset name`` lines; sorted by synset they are in the order of ImageNet's numbers.
    numbered : bool
        Whether the folders of the queries are those numbers, as in ImageNet-V2.
    """
    display = _names(root / names)
    ordered = sorted(display)
    items, classes = [], set()
    for folder, path in _pictures(root / queries):
        synset = folder
        if numbered:
            if not folder.isdigit() or int(folder) >= len(ordered):
                raise BenchError(f"{root / queries}: folder {folder!r} is no number of a class in {names}")
            synset = ordered[int(folder)]
        if synset not in display:
            raise BenchError(f"{root / queries}: folder {folder!r} is no synset of {names}; take both of one set")
        classes.add(synset)
        items.append(_item(root, path, synset, "test"))
    items += [_item(root, path, folder, "train") for folder, path in _pictures(root / train) if folder in classes]
    return _checked(root, RawDataset(items, sorted(classes), display))


def imagenet_open(root: Path, *, train: str, val: str, names: str, strangers: str, called: str) -> RawDataset:
    """Read ImageNet's images of some classes, and images of none of its classes as one unseen class of queries.

    The folders of ImageNet-O are called by the class that a ResNet-50 takes their images for; those classes are the
    known ones (Hendrycks et al., Natural Adversarial Examples, CVPR 2021, arXiv:1907.07174, section 3).

    Parameters
    ----------
    train, val, strangers : str
        Folders of class folders: support and queries of known classes, and what is none of them.
    called : str
        The name of the unseen class.
    """
    display = _names(root / names)
    outside = list(_pictures(root / strangers))
    classes = sorted({folder for folder, _ in outside})
    unknown = [folder for folder in classes if folder not in display]
    if unknown:
        raise BenchError(f"{root / strangers}: folder {unknown[0]!r} is no synset of {names}; take both of one set")
    items = [
        _item(root, path, folder, split)
        for split, place in (("train", train), ("val", val))
        for folder, path in _pictures(root / place)
        if folder in classes
    ]
    found = _checked(root, RawDataset(items, classes, display))
    items += [_item(root, path, called, "val") for _, path in outside]
    return replace(found, items=items, classes=[*classes, called], class_split={"seen": classes, "unseen": [called]})


def objectnet(root: Path, *, train: str, names: str, images: str, mappings: Mapping[str, str]) -> RawDataset:
    """Read ObjectNet's images of the 113 classes that ImageNet has, and ImageNet's training images as support.

    Barbu et al., ObjectNet, NeurIPS 2019. A class of ObjectNet may stand for several of ImageNet, whose images all
    become its support. The maps are those that come with ObjectNet.

    Parameters
    ----------
    mappings : mapping of str to str
        ``folders``: JSON of folder to ObjectNet's label; ``classes``: JSON of that label to ImageNet's labels, joined
        by ``"; "``; ``labels``: ImageNet's labels, a line a number.
    """
    folder_of = _object(root / mappings["folders"])
    wanted = _object(root / mappings["classes"])
    number = {label: row for row, label in enumerate(lines(root / mappings["labels"]))}
    ordered = sorted(_names(root / names))
    of_synset: dict[str, str] = {}
    for name, labels in wanted.items():
        for label in labels.split("; "):
            if label not in number or number[label] >= len(ordered):
                raise BenchError(f"{root / mappings['classes']}: {label!r} is no label of ImageNet; take whole maps")
            of_synset[ordered[number[label]]] = name
    items = [
        _item(root, path, folder_of[folder], "test")
        for folder, path in _pictures(root / images)
        if folder_of.get(folder) in wanted
    ]
    items += [
        _item(root, path, of_synset[folder], "train") for folder, path in _pictures(root / train) if folder in of_synset
    ]
    return _checked(root, RawDataset(items, sorted({item.class_name for item in items if item.split == "test"})))


def imagenet_real(root: Path, *, train: str, names: str, val: str, labels: str) -> RawDataset:
    """Read ImageNet with the validation images that have one ReaL label, under that label.

    Beyer et al., Are we done with ImageNet?, 2020, arXiv:2006.07159. Images with no label or several are left out; the
    authors count an answer as right if it is among several.

    Parameters
    ----------
    labels : str
        ``real.json``: the numbers of each validation image, in the order of their names.
    """
    display = _names(root / names)
    ordered = sorted(display)
    try:
        content = parse_json(read_text(root / labels, "ReaL's labels"))
        numbers = [[int(label) for label in row] for row in content]
    except (ValueError, TypeError) as error:
        raise BenchError(f"{root / labels} is damaged ({one_line(error)}); fetch it again") from None
    items = []
    for _, path in _pictures(root / val):
        found = re.search(r"(\d+)$", path.stem)
        row = int(found[1]) - 1 if found else -1
        if not 0 <= row < len(numbers):
            raise BenchError(f"{path} has no row in {labels}; ILSVRC2012_val_00000001 is the first")
        if len(numbers[row]) == 1:
            if not 0 <= numbers[row][0] < len(ordered):
                raise BenchError(f"{root / labels}: {numbers[row][0]} is no number of a class in {names}")
            items.append(_item(root, path, ordered[numbers[row][0]], "val"))
    items += [_item(root, path, folder, "train") for folder, path in _pictures(root / train)]
    return _checked(root, RawDataset(items, sorted({item.class_name for item in items}), display))


def _checked(root: Path, found: RawDataset) -> RawDataset:
    pictured = {item.class_name for item in found.items if item.split == "train"}
    bare = [name for name in found.classes if name not in pictured]
    if bare:
        raise BenchError(f"{root}: class {bare[0]!r} has queries and no training images; unpack all of ImageNet's")
    return found


def _names(path: Path) -> dict[str, str]:
    found = {}
    for line in lines(path):
        synset, _, name = line.partition(" ")
        found[synset] = name.strip() or synset
    return found


def _object(path: Path) -> dict[str, str]:
    try:
        content = parse_json(read_text(path, "a map of the data set"))
    except ValueError as error:
        raise BenchError(f"{path} is damaged ({one_line(error)}); fetch it again") from None
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise BenchError(f"{path} is no map of names; fetch it again")
    return content


def _pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the images of class folders, each with its folder's name."""
    for below in list_folder(folder).folders:
        for path in list_folder(Path(below.path)).images:
            yield below.name, path


def _item(root: Path, path: Path, class_name: str, split: str) -> ImageItem:
    return ImageItem(path.relative_to(root).as_posix(), class_name, partial(read_file, path), split)
