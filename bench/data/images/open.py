"""The source of a path, by what the path is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.data.class_names import read_classes
from bench.data.images.described import described_images, metadata_tables
from bench.data.images.folder import image_folder
from bench.data.images.items import ImageSource
from bench.data.images.medmnist import medmnist
from bench.data.images.named_classes import beside, with_names
from bench.data.images.parquet import parquet_files
from bench.data.images.table import image_table
from bench.data.images.trees import is_mvtec, mvtec_tree, nested_tree
from bench.data.images.webdataset import tar_shards
from bench.data.splits import is_split
from bench.utils.errors import BenchError
from bench.utils.names import expand
from bench.utils.texts import read_text

_TEMPLATES = "zeroshot_classification_templates.txt"
"""CLIP_benchmark's file of prompts, with ``{c}`` for the name."""
_FORMS = (
    "a folder of class folders or with metadata.csv, a CSV or JSON table, tar shards, Parquet files, "
    "or an .npz of MedMNIST"
)


def open_source(
    path: Path,
    *,
    root: Path | None = None,
    class_names: Sequence[str] | None = None,
    names_file: Path | None = None,
    nested: bool = False,
) -> ImageSource:
    """Return the images of a folder, a table, tar shards, Parquet files, or an ``.npz`` of MedMNIST.

    Beside shards, ``classnames.txt`` names the classes of their numbers and
    ``zeroshot_classification_templates.txt`` holds prompts, as CLIP_benchmark writes them.

    Parameters
    ----------
    root : Path, optional
        The folder that a table's paths start from.
    class_names : sequence of str, optional
        The names that class numbers stand for.
    names_file : Path, optional
        A file of names: of class folders (see :func:`bench.data.images.named_classes.with_names`), or of class
        numbers.
    nested : bool
        Whether class folders lie in folders of groups.
    """
    path = expand(path)
    ending = path.suffix.lower()
    if not path.exists():
        raise BenchError(f"{path} does not exist; give {_FORMS}")
    if path.is_dir():
        found = _below(path, "tar") or _below(path, "parquet")
    elif ending in (".csv", ".json"):
        made = image_table(path, root=root)
        return with_names(made, names_file) if names_file else made
    elif ending in (".tar", ".parquet", ".npz"):
        found = [path]
    else:
        raise BenchError(f"{path} is no source of images; give {_FORMS}")
    if found:
        return _numbered(path, found, class_names, names_file)
    tables = metadata_tables(path)
    if tables:
        return described_images(path, tables, class_names=_names(path, class_names, names_file))
    made = _tree(path, nested)
    return with_names(made, names_file) if names_file else made


def _tree(path: Path, nested: bool) -> ImageSource:
    if nested:
        return nested_tree(path)
    return mvtec_tree(path) if is_mvtec(path) else image_folder(path)


def _numbered(
    path: Path, files: Sequence[Path], class_names: Sequence[str] | None, names_file: Path | None
) -> ImageSource:
    """Return the images of files whose classes are numbers."""
    folder = path if path.is_dir() else path.parent
    class_names = _names(path, class_names, names_file)
    kind = files[0].suffix.lower()
    if kind == ".npz":
        return medmnist(path, class_names=class_names)
    if kind == ".parquet":
        return parquet_files(files, class_names=class_names)
    made = tar_shards(files, class_names=class_names, root=path if path.is_dir() else None)
    return replace(made, templates=_prompts(folder / _TEMPLATES))


def _names(path: Path, class_names: Sequence[str] | None, names_file: Path | None) -> Sequence[str] | None:
    """Return the names that class numbers stand for: those given, or of a file that is given or lies beside."""
    named = names_file or beside(path if path.is_dir() else path.parent)
    return read_classes(named, path.stem) if class_names is None and named is not None else class_names


def _below(folder: Path, ending: str) -> list[Path]:
    """Return files of an ending in a folder; if there are none, those in its folders of splits, or in ``data``."""

    def here(place: Path) -> list[Path]:
        return sorted(p for p in place.glob(f"*.{ending}") if not p.name.startswith(".") and not p.is_dir())

    found = here(folder)
    if found:
        return found
    places = sorted(p for p in folder.iterdir() if p.is_dir() and (is_split(p.name) or p.name == "data"))
    return [file for place in places for file in here(place)]


def _prompts(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    lines = [line.strip() for line in read_text(path, "a file of prompts").splitlines()]
    return tuple(line.replace("{c}", "{}") for line in lines if line)
