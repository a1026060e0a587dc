"""What lies in a folder of images: the one function that all readers of folders look with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from bench.utils.errors import BenchError
from bench.utils.names import printable

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})

_ARCHIVERS = "__MACOSX"
"""A folder that macOS's archiver adds to an archive: a shadow of every file, none of them an image."""


@dataclass(eq=False)
class Listing:
    """What lies in a folder, by name."""

    folders: list[os.DirEntry[str]] = field(default_factory=list)
    files: list[os.DirEntry[str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    """Names of what is left out, with the reasons."""

    @property
    def images(self) -> list[Path]:
        """The files that are images by their endings."""
        return [Path(entry.path) for entry in self.files if is_image(entry.name)]


def is_image(name: str) -> bool:
    """Return whether a file is an image by its ending."""
    return Path(name).suffix.lower() in SUFFIXES


def list_folder(folder: Path) -> Listing:
    """Return what lies in a folder, in the order of the names; what has no name that is text, or is hidden, is left.

    Raises
    ------
    BenchError
        If the folder cannot be read.
    """
    found = Listing()
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise BenchError(f"cannot read {printable(str(folder))}: {error.strerror}; give a folder of images") from None
    for entry in ordered:
        if entry.name.startswith("."):
            found.left.append((entry.name, "hidden"))
        elif entry.name == _ARCHIVERS:
            found.left.append((entry.name, "made by macOS's archiver"))
        elif any(0xD800 <= ord(character) <= 0xDFFF for character in entry.name):
            found.left.append((entry.name, "its name is not UTF-8"))
        else:
            try:
                (found.folders if entry.is_dir() else found.files).append(entry)
            except OSError as error:
                # A link that leads to itself, for instance.
                found.left.append((entry.name, f"cannot be followed: {error.strerror}"))
    return found


def require_inside(entry: os.DirEntry[str], root: Path) -> None:
    """Raise for a link that leaves a folder, or leads to one that it lies in."""
    # Only a link can lead out, and asking the file system about every file would double the time.
    if not entry.is_symlink():
        return
    target = Path(entry.path).resolve()
    if not target.is_relative_to(root):
        raise BenchError(f"{entry.path} is a link that leaves {root}; copy the file there, or give its own folder")
    if Path(entry.path).parent.resolve().is_relative_to(target):
        raise BenchError(f"{entry.path} is a link to a folder that it lies in; remove it")
