"""Images before they are decoded: an id, a class, and a way to the bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.class_names import check_class_names
from bench.data.splits import check_splits
from bench.utils.errors import BenchError
from bench.utils.names import shown
from bench.utils.texts import require_regular

MAX_BYTES = 64 << 20
"""A larger file is set aside: no photograph of a benchmark comes near it."""


class Unusable(Exception):  # noqa: N818 - it is a finding about an image, not a failure
    """Raised for an image that is set aside; its text is the reason."""


@dataclass(frozen=True)
class SetAside:
    """An image that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One image that can be read.

    Attributes
    ----------
    id : str
        Unique within its source and stable: the path below the source's folder, with ``/``.
    class_name : str
    read : callable
        Returns the file's bytes, or raises :class:`Unusable`.
    split : str
        The split it belongs to; ``all`` where the source has none.
    key : str or None
        For an image that is drawn, not stored: a hash of all that determines its pixels, in 64 hexadecimal digits,
        so that it need not be drawn again to find its features. None takes the hash of the bytes.
    """

    id: str
    class_name: str
    read: Callable[[], bytes]
    split: str = "all"
    key: str | None = None


@dataclass(frozen=True)
class Caption:
    """A text about a class that comes with the images, for the text memory, with an id of its own."""

    class_name: str
    text: str
    id: str


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Labelled images of one place.

    Attributes
    ----------
    class_names : tuple of str
        Position is class id.
    set_aside : tuple of SetAside
        Files and folders that were left out before any image was decoded.
    notes : tuple of str
        What else the user should know.
    templates : tuple of str
        Prompts that come with the images, with ``{}`` for the name.
    """

    origin: str
    items: Sequence[ImageItem]
    class_names: tuple[str, ...]
    set_aside: tuple[SetAside, ...] = ()
    notes: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_class_names(self.class_names, self.origin)
        repeated = [item for item, count in Counter(item.id for item in self.items).items() if count > 1]
        if repeated:
            raise BenchError(
                f"{self.origin}: image {shown(repeated[0], longest=200)} is listed more than once; list it once"
            )
        try:
            "".join(item.id for item in self.items).encode()
        except UnicodeEncodeError as error:
            near = str(error.object[max(0, error.start - 20) : error.end])
            raise BenchError(f"{self.origin}: an image's name near {shown(near)} is not UTF-8; rename it") from None
        check_splits(self.splits, self.origin)
        if not self.items:
            why = f" ({len(self.set_aside)} files set aside, e.g. {self.set_aside[0].reason})" if self.set_aside else ""
            raise BenchError(f"{self.origin} holds no image{why}; images lie in one folder a class")

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of its images, in order of appearance."""
        return tuple(dict.fromkeys(item.split for item in self.items))

    def of_split(self, split: str) -> list[ImageItem]:
        """Return the images of a split."""
        return [item for item in self.items if item.split == split]


def read_file(path: Path) -> bytes:
    """Return a file's bytes; one that is missing, unreadable, huge, or no regular file raises :class:`Unusable`."""
    try:
        size = require_regular(path)
        if size > MAX_BYTES:
            raise Unusable(f"huge file of {size} bytes, more than {MAX_BYTES}")
        return path.read_bytes()
    except FileNotFoundError:
        raise Unusable("missing file") from None
    except OSError as error:
        raise Unusable(f"unreadable file: {error.strerror}") from None
