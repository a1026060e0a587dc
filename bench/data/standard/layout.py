"""What a reader finds, and what readers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.data.images.items import Caption, ImageItem
from bench.utils.errors import BenchError
from bench.utils.texts import read_text


@dataclass(frozen=True, eq=False)
class RawDataset:
    """Images and classes of a data set.

    Attributes
    ----------
    classes : sequence of str
        Position is class id.
    display : mapping of str to str
        How a class is called in prompts, where its own name is a code.
    class_split : mapping of str to sequence of str
        Classes by part, where the field fixed them.
    captions : sequence of Caption
        Texts about classes that come with the images.
    templates : tuple of str
        Prompts that come with the images, with ``{}`` for the name.
    """

    items: list[ImageItem]
    classes: Sequence[str]
    display: Mapping[str, str] = field(default_factory=dict)
    class_split: Mapping[str, Sequence[str]] = field(default_factory=dict)
    captions: Sequence[Caption] = ()
    templates: tuple[str, ...] = ()


def lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty."""
    text = read_text(path, "the file as its authors ship it")
    return [line.strip() for line in text.splitlines() if line.strip()]


def inside(base: Path, name: str, source: Path) -> Path:
    """Return a path below a folder; one that leaves it is refused."""
    name = name.replace("\\", "/")
    path = base / name
    if ".." in Path(name).parts or Path(name).is_absolute() or "\0" in name:
        raise BenchError(f"{source}: {name!r} leaves {base}; download the file again")
    return path
