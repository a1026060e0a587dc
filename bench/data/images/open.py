"""The source of a path, by what the path is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.data.images.folder import image_folder
from bench.data.images.items import ImageSource
from bench.data.images.table import image_table
from bench.data.images.webdataset import tar_shards
from bench.utils.errors import BenchError
from bench.utils.names import expand


def open_source(path: Path, *, root: Path | None = None, class_names: Sequence[str] | None = None) -> ImageSource:
    """Return the images of a folder, of a CSV or JSON table, of a tar shard, or of a folder of tar shards.

    Parameters
    ----------
    root : Path, optional
        The folder that a table's paths start from.
    class_names : sequence of str, optional
        The names that the class numbers of shards stand for.
    """
    path = expand(path)
    if path.suffix.lower() in (".csv", ".json") and not path.is_dir() and path.exists():
        return image_table(path, root=root)
    if path.suffix.lower() == ".tar" and not path.is_dir():
        return tar_shards([path], class_names=class_names)
    if path.is_dir():
        shards = sorted(p for p in path.glob("*.tar") if not p.name.startswith(".") and not p.is_dir())
        return tar_shards(shards, class_names=class_names) if shards else image_folder(path)
    if not path.exists():
        raise BenchError(f"{path} does not exist; give a folder of class folders, a CSV or JSON table, or a .tar shard")
    raise BenchError(f"{path} is no source of images; give a folder of class folders, a CSV or JSON table, or a .tar")
