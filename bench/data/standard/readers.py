"""How the files of standard data sets are laid out, one function a layout."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.data.class_names import clean
from bench.data.images.items import ImageItem, read_file
from bench.data.images.listing import list_folder
from bench.data.images.open import open_source
from bench.data.splits import held_out
from bench.data.standard.cifar import cifar
from bench.data.standard.layout import RawDataset, inside, lines
from bench.data.standard.lists import listed
from bench.data.standard.shifts import imagenet_open, imagenet_real, imagenet_shift, objectnet
from bench.data.standard.stamps import stamps
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.random import Stream
from bench.utils.texts import read_text


def coop_split(root: Path, *, file: str, images: str) -> RawDataset:
    """Read CoOp's ``split_zhou_*.json``: train, val and test lists of [path, label, class name].

    Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, arXiv:2109.01134: the splits that the field
    uses for its fine-grained sets.
    """
    path = root / file
    try:
        content = parse_json(read_text(path, "CoOp's split"))
        rows = [
            (split, str(p), int(n), clean(str(c))) for split in ("train", "val", "test") for p, n, c in content[split]
        ]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise BenchError(f"{path} is no CoOp split ({type(error).__name__}: {error}); download it again") from None
    names: dict[int, str] = {}
    for _, _, label, name in rows:
        if names.setdefault(label, name) != name:
            raise BenchError(f"{path}: label {label} is both {names[label]!r} and {name!r}; download it again")
    items = [
        ImageItem(place, names[label], partial(read_file, inside(root / images, place, path)), split)
        for split, place, label, _ in rows
    ]
    return RawDataset(items, [names[label] for label in sorted(names)])


def class_folders(
    root: Path,
    *,
    splits: Mapping[str, str],
    names: str | None = None,
    subset: str | None = None,
    class_split: str | None = None,
    shares: Mapping[str, int] | None = None,
    last_words: int | None = None,
    queries: float | None = None,
) -> RawDataset:
    """Read one folder a class below one folder a split.

    Parameters
    ----------
    splits : mapping of str to str
        Split name to folder.
    names : str, optional
        File of ``folder name`` lines: how each class is called.
    subset : str, optional
        File that lists the folders that take part.
    class_split : str, optional
        JSON file of ``seen``, ``validation`` and ``unseen`` to lists of folders. Where it is not there and ``shares``
        is given, so many classes of each part are drawn, by a fixed seed.
    last_words : int, optional
        A class is called by so many of the last words of its folder's name, which ``_`` joins.
    queries : float, optional
        This share of each class of the one split, drawn by a fixed seed, becomes the split ``test``, the rest
        ``train``.
    """
    display = dict(line.split(maxsplit=1) for line in lines(root / names)) if names else {}
    wanted = [line.split()[0] for line in lines(root / subset)] if subset else None
    items, classes = [], set()
    for split, folder in splits.items():
        base = root / folder
        chosen = (
            [base / name for name in wanted]
            if wanted is not None
            else [Path(entry.path) for entry in list_folder(base).folders]
        )
        for class_folder in chosen:
            if not class_folder.is_dir():
                raise BenchError(f"{class_folder} is missing; {subset or folder} names it")
            files = list_folder(class_folder).images
            classes.add(class_folder.name)
            items += [
                ImageItem(p.relative_to(root).as_posix(), class_folder.name, partial(read_file, p), split)
                for p in files
            ]
        if not any(item.split == split for item in items):
            raise BenchError(
                f"{base} holds no image in class folders; unpack it into one folder a class, or give the folder above"
            )
    ordered = wanted if wanted is not None else sorted(classes)
    parts: dict[str, Sequence[str]] = {}
    if class_split and (root / class_split).is_file():
        parts = _class_split(root / class_split)
    elif shares and sum(shares.values()) == len(ordered):
        order = Stream(0).child("class-split").permutation(len(ordered))
        start = 0
        for part, count in shares.items():
            parts[part] = [ordered[row] for row in sorted(order[start : start + count].tolist())]
            start += count
    strangers = [name for part in parts.values() for name in part if name not in classes]
    if strangers:
        raise BenchError(f"{root / str(class_split)} names class {strangers[0]!r}, which is not there")
    if last_words:
        display = {name: " ".join(name.split("_")[-last_words:]) for name in ordered}
    if queries is not None:
        test = held_out(np.array([item.class_name for item in items]), queries, len(splits))
        items = [
            replace(item, split="test" if asked else "train") for item, asked in zip(items, test.tolist(), strict=True)
        ]
    return RawDataset(items, ordered, display, parts)


def _class_split(path: Path) -> dict[str, Sequence[str]]:
    try:
        content = parse_json(read_text(path, "a JSON file of seen, validation and unseen classes"))
    except ValueError as error:
        raise BenchError(f"{path} is damaged: {one_line(error)}") from None
    lists = content.values() if isinstance(content, dict) else [None]
    if not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in lists):
        raise BenchError(f"{path} must hold lists of class names under seen, validation and unseen")
    return {str(part): list(names) for part, names in content.items()}


def cub(root: Path, *, class_split: Mapping[str, str]) -> RawDataset:
    """Read CUB-200-2011: numbered lists of images, classes and splits.

    ``class_split`` names the files of classes for zero-shot learning (Xian et al., Zero-Shot Learning: A Comprehensive
    Evaluation, TPAMI 2018, arXiv:1707.00600); they are optional.
    """

    def column(file: str) -> dict[str, str]:
        return dict(line.split(maxsplit=1) for line in lines(root / file))

    paths, labels, train = column("images.txt"), column("image_class_labels.txt"), column("train_test_split.txt")
    folders = column("classes.txt")
    items = [
        ImageItem(
            path,
            folders[labels[number]],
            partial(read_file, inside(root / "images", path, root / "images.txt")),
            "train" if train[number] == "1" else "test",
        )
        for number, path in paths.items()
    ]
    ordered = [folders[number] for number in sorted(folders, key=int)]
    display = {folder: folder.split(".", 1)[-1].replace("_", " ") for folder in ordered}
    there = all((root / file).is_file() for file in class_split.values())
    parts = {part: lines(root / file) for part, file in class_split.items()} if there else {}
    return RawDataset(items, ordered, display, parts)


def aircraft(root: Path, *, images: str, lists: Mapping[str, str], classes: str) -> RawDataset:
    """Read FGVC-Aircraft: lists of ``number variant`` lines."""
    items = []
    for split, file in lists.items():
        for line in lines(root / file):
            number, variant = line.split(maxsplit=1)
            path = inside(root / images, f"{number}.jpg", root / file)
            items.append(ImageItem(f"{number}.jpg", variant, partial(read_file, path), split))
    return RawDataset(items, lines(root / classes))


def mini_imagenet(root: Path, *, images: str, lists: Mapping[str, str]) -> RawDataset:
    """Read mini-ImageNet with the class split of Ravi and Larochelle (ICLR 2017): CSV files of filename and label.

    Its splits are of classes: train is seen, val validation, test unseen. Each class's images become support and
    queries, the first fifth in the order of the list being queries.
    """
    items: list[ImageItem] = []
    parts: dict[str, list[str]] = {}
    for part, file in lists.items():
        by_class: dict[str, list[str]] = {}
        for row in csv.DictReader(lines(root / file)):
            by_class.setdefault(row["label"], []).append(row["filename"])
        parts[part] = sorted(by_class)
        for label, names in by_class.items():
            queries = max(1, len(names) // 5)
            for number, name in enumerate(names):
                path = inside(root / images, name, root / file)
                items.append(ImageItem(name, label, partial(read_file, path), "test" if number < queries else "train"))
    return RawDataset(items, sorted(name for names in parts.values() for name in names), {}, parts)


def webvision(root: Path, *, lists: Mapping[str, str], val: str, val_images: str, synsets: str) -> RawDataset:
    """Read WebVision 1.0: lists of ``path label``; each source is a split that can serve as memory."""
    classes, display = [], {}
    for line in lines(root / synsets):
        folder, _, names = line.partition(" ")
        classes.append(folder)
        display[folder] = names.split(",")[0].strip()
    items = []
    for split, file, base in [*((s, f, ".") for s, f in lists.items()), ("test", val, val_images)]:
        for line in lines(root / file):
            path, label = line.split()
            if int(label) >= len(classes):
                raise BenchError(f"{root / file}: label {label} has no line in {synsets}")
            place = inside(root / base, path, root / file)
            items.append(ImageItem(f"{split}/{path}", classes[int(label)], partial(read_file, place), split))
    return RawDataset(items, classes, display)


def webdataset(root: Path) -> RawDataset:
    """Read webdataset shards with names of classes and prompts beside them, as CLIP_benchmark writes them.

    Cherti and Beaumont, CLIP benchmark, 2022, doi:10.5281/zenodo.15403103.
    """
    found = open_source(root)
    return RawDataset(list(found.items), found.class_names, templates=found.templates)


READERS: Mapping[str, Callable[..., RawDataset]] = {
    "aircraft": aircraft,
    "cifar": cifar,
    "class_folders": class_folders,
    "coop_split": coop_split,
    "cub": cub,
    "imagenet_open": imagenet_open,
    "imagenet_real": imagenet_real,
    "imagenet_shift": imagenet_shift,
    "listed": listed,
    "mini_imagenet": mini_imagenet,
    "objectnet": objectnet,
    "stamps": stamps,
    "webdataset": webdataset,
    "webvision": webvision,
}
