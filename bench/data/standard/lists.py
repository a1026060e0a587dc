"""Lists of ``path number`` lines, as long-tailed data sets ship them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from bench.data.images.items import ImageItem, read_file
from bench.data.standard.layout import RawDataset, inside, lines
from bench.utils.errors import BenchError


def listed(root: Path, *, lists: Mapping[str, str], images: str, names: str | None = None) -> RawDataset:
    """Read images that lists name, with the number of each one's class; a class is called as its folder.

    Liu et al., Large-Scale Long-Tailed Recognition in an Open World, CVPR 2019, arXiv:1904.05160: ImageNet-LT and
    Places-LT.

    Parameters
    ----------
    lists : mapping of str to str
        Split name to file.
    images : str
        The folder that paths start from.
    names : str, optional
        File of ``folder name`` lines: how each class is called.
    """
    folders: dict[int, str] = {}
    items = []
    for split, file in lists.items():
        for number, line in enumerate(lines(root / file), start=1):
            path, _, label = line.rpartition(" ")
            if not path or not label.isdigit():
                raise BenchError(f"{root / file}: line {number} is no path with a number; fetch the list again")
            folder = PurePosixPath(path).parent.name
            # Validation images of ImageNet lie in no folder of their class.
            if folder not in ("val", "."):
                folders.setdefault(int(label), folder)
            place = inside(root / images, path, root / file)
            items.append((path, int(label), partial(read_file, place), split))
    strange = sorted({label for _, label, _, _ in items} - set(folders))
    if strange:
        raise BenchError(f"{root}: class {strange[0]} stands in no list of training images; fetch all lists")
    display = dict(line.split(maxsplit=1) for line in lines(root / names)) if names else {}
    if not names:
        display = {folder: folder.replace("_", " ") for folder in folders.values()}
    made = [ImageItem(path, folders[label], read, split) for path, label, read, split in items]
    return RawDataset(made, [folders[label] for label in sorted(folders)], display)
