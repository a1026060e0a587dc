"""Which characters are classes, what they are called, and how they are split.

The list is stored in ``catalogue.txt`` so that it neither moves with the
Unicode tables of the interpreter nor costs a survey of the fonts at each start.
:mod:`tools.glyphs.survey` computes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

Split = Literal["seen", "validation", "unseen"]
"""``seen`` classes train the encoder; the two others never do."""

SPLITS: tuple[Split, ...] = get_args(Split)

CATALOGUE_FILE = Path(__file__).with_name("catalogue.txt")


@dataclass(frozen=True, slots=True)
class Character:
    """One class.

    Attributes
    ----------
    codepoint
        Unicode code point.
    char
        The character itself, a string of length one.
    name
        Its Unicode name in lower case.
    split
        The part of the class split that it belongs to.
    """

    codepoint: int
    char: str
    name: str
    split: Split

    @property
    def label(self) -> str:
        """The usual notation of the code point, such as ``U+0041``."""
        return f"U+{self.codepoint:04X}"


def words(name: str) -> tuple[str, ...]:
    """Cut a name into its words: at blanks and at hyphens."""
    return tuple(name.replace("-", " ").split())


def parse(text: str) -> list[Character]:
    """Read a catalogue.

    Parameters
    ----------
    text
        Lines of code point in hexadecimal, split and name, parted by tabs.

    Returns
    -------
    list of Character
        In the order of the lines.

    Raises
    ------
    ValueError
        A line has other than three fields, or names no known split.
    """
    found: list[Character] = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) != 3 or fields[1] not in SPLITS:
            raise ValueError(f"catalogue line {number} is not 'code point, split, name': {line!r}")
        codepoint = int(fields[0], 16)
        found.append(Character(codepoint, chr(codepoint), fields[2], fields[1]))
    return found


def format_catalogue(found: Iterable[Character]) -> str:
    """Write a catalogue, the inverse of :func:`parse`."""
    return "".join(f"{c.codepoint:04X}\t{c.split}\t{c.name}\n" for c in found)


@lru_cache(maxsize=1)
def _stored() -> tuple[Character, ...]:
    return tuple(parse(CATALOGUE_FILE.read_text(encoding="utf-8")))


def characters(split: Split | None = None) -> list[Character]:
    """Return the classes, ordered by code point.

    Parameters
    ----------
    split
        Only this part; all parts without it.
    """
    return [c for c in _stored() if split is None or c.split == split]
