"""Compute the catalogue from the fonts: coverage, look-alikes, class split.

``python -m tools.glyphs.survey`` prints it; ``--write`` stores it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

import click
import numpy as np
import numpy.typing as npt

from bench.data.glyphs import render
from bench.data.glyphs.catalogue import (
    CATALOGUE_FILE,
    Character,
    Split,
    format_catalogue,
    words,
)
from bench.utils.atomic import write_atomically
from bench.utils.random import labelled_key

SPLIT_SEED = 20240229
HELD_OUT = 200
"""Classes in each of the unseen and the validation part."""

MIN_FACES = 8
"""A class has a glyph in at least this many of the twelve faces."""

MIN_NAMES_PER_WORD = 3
"""Each word of a held-out name occurs in at least this many seen names."""

LOOKALIKE_COSINE = 0.995
"""Undistorted drawings at least this close count as the same picture."""

# Side of the drawings that are compared. The list of classes does not follow the size that the data set is drawn in.
_SIDE = 64

_CATEGORIES = frozenset("LNPS")
# 256 patterns that differ in dots alone would be every tenth class.
_EXCLUDED_PREFIXES = ("braille pattern",)


def candidates() -> list[tuple[int, str]]:
    """List named letters, numbers, punctuation and symbols that enough faces draw.

    Returns
    -------
    list of (int, str)
        Code point and lower-case name, ordered by code point.
    """
    count = Counter(c for face in render.FACES for c in render.coverage(face))
    found: list[tuple[int, str]] = []
    for codepoint in sorted(c for c, n in count.items() if n >= MIN_FACES):
        name = unicodedata.name(chr(codepoint), "").lower()
        category = unicodedata.category(chr(codepoint))
        if name and category[0] in _CATEGORIES and not name.startswith(_EXCLUDED_PREFIXES):
            found.append((codepoint, name))
    return found


def _drawings(codepoints: list[int], face: str) -> npt.NDArray[np.float32]:
    """Draw code points in a face, as unit rows; rows of missing glyphs are zero."""
    pixels = np.zeros((len(codepoints), _SIDE**2), dtype=np.float32)
    for row, codepoint in enumerate(codepoints):
        if codepoint in render.coverage(face):
            pixels[row] = render.plain(chr(codepoint), face, side=_SIDE).reshape(-1)
    norm = np.linalg.norm(pixels, axis=1, keepdims=True)
    return np.asarray(pixels / np.maximum(norm, 1e-6), dtype=np.float32)


def without_lookalikes(found: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Keep one character of each group that looks the same in most faces.

    Latin A, Greek alpha and Cyrillic a are one picture: no classifier can tell
    them apart.  Characters are taken by code point, and one is dropped when it
    looks like one already kept (cosine of the undistorted drawings at least
    :data:`LOOKALIKE_COSINE`) in more than half of the faces that draw both.
    Glyphs without ink are dropped as well.

    Parameters
    ----------
    found
        Code point and name, ordered by code point.

    Returns
    -------
    list of (int, str)
        The kept part, in the same order.
    """
    codepoints = [c for c, _ in found]
    close = np.zeros((len(found), len(found)), dtype=np.int16)
    both = np.zeros_like(close)
    for face in render.FACES:
        unit = _drawings(codepoints, face)
        drawn = np.asarray(np.linalg.norm(unit, axis=1) > 0.5)
        close += (unit @ unit.T >= LOOKALIKE_COSINE) & drawn[:, None]
        both += drawn[:, None] & drawn[None, :]
    alike = 2 * close > both
    kept: list[int] = []
    for row in range(len(found)):
        if both[row, row] > 0 and not alike[row, kept].any():
            kept.append(row)
    return [found[row] for row in kept]


def split(found: list[tuple[int, str]]) -> list[Character]:
    """Hold classes out for validation and as unseen.

    Characters come in the order of a hash of code point and
    :data:`SPLIT_SEED`.  One is held out if all faces draw it and each word of
    its name still occurs in :data:`MIN_NAMES_PER_WORD` seen names: a word that
    was never read cannot be recognised, and names are meant to be composed
    anew, not guessed.  Held-out classes alternate between the two parts.

    Parameters
    ----------
    found
        Code point and name.

    Returns
    -------
    list of Character
        All of them, ordered by code point.

    Raises
    ------
    ValueError
        Too few characters qualify.
    """
    left = Counter(word for _, name in found for word in set(words(name)))
    parts: dict[int, Split] = {}
    for codepoint, name in sorted(found, key=lambda item: labelled_key(SPLIT_SEED, "split", item[0])):
        own = set(words(name))
        everywhere = len(render.faces_with(chr(codepoint))) == len(render.FACES)
        if everywhere and all(left[word] > MIN_NAMES_PER_WORD for word in own):
            parts[codepoint] = "validation" if len(parts) % 2 else "unseen"
            left.subtract(own)
        if len(parts) == 2 * HELD_OUT:
            break
    else:
        raise ValueError(f"only {len(parts)} characters qualify to be held out")
    return [Character(c, chr(c), name, parts.get(c, "seen")) for c, name in sorted(found)]


def survey() -> list[Character]:
    """Compute the whole catalogue from fonts and Unicode tables."""
    return split(without_lookalikes(candidates()))


@click.command()
@click.option("--write", is_flag=True, help="Store the catalogue in place of printing it.")
def main(write: bool) -> None:
    """Survey the fonts and list the classes."""
    text = format_catalogue(survey())
    if write:
        write_atomically(CATALOGUE_FILE, text)
    else:
        click.echo(text, nl=False)


if __name__ == "__main__":
    main()
