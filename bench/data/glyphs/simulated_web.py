"""A simulated web: what a keyword search for a character returns, with the truth."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.data.glyphs import offtopic, render
from bench.data.glyphs.catalogue import Character, characters, words
from bench.data.glyphs.texts import LEADS, TAILS, describe, mention
from bench.utils.random import labelled_generator

Truth = Literal["right", "wrong", "off-topic"]
"""Whether an item shows its keyword, another character, or none."""

CONFUSABLES = 8
"""A wrong item shows one of this many characters with the most similar names."""


@dataclass(frozen=True, slots=True)
class Source:
    """One site of the simulated web.

    Attributes
    ----------
    faces
        Font faces that its images use.
    leads
        Openings that its sentences use.
    turn
        It tells every second description of a character, from this one on.
    """

    faces: tuple[str, ...]
    leads: tuple[str, ...]
    turn: int


# Each side has sans, mono and serif faces, so each can draw every character.
_FACES_A = (
    "DejaVuSans",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-BoldItalic",
)

SOURCES: dict[str, Source] = {
    "fonts-a": Source(_FACES_A, LEADS[0::2], turn=0),
    "fonts-b": Source(
        tuple(face for face in render.FACES if face not in _FACES_A),
        LEADS[1::2],
        turn=1,
    ),
}
"""Two sites that share no face and no sentence on a character."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an item comes from and what it is.

    Attributes
    ----------
    id
        Unique over seeds, sources, keywords, kinds and positions, and stable.
    keyword
        Name of the class that was searched for.
    source
        A key of :data:`SOURCES`.
    truth
        Whether the item shows the keyword.
    subject
        What it does show: the name of a character, a kind of off-topic
        picture, or ``"everyday"`` for an off-topic sentence.
    """

    id: str
    keyword: str
    source: str
    truth: Truth
    subject: str


@dataclass(frozen=True, slots=True)
class WebImage:
    """An image found: uint8 ``pixels`` of shape (side, side), 255 is white."""

    provenance: Provenance
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WebSentence:
    """A sentence found."""

    provenance: Provenance
    text: str


@dataclass(frozen=True, slots=True)
class Results:
    """All that a search returned, in the order of the hits."""

    images: tuple[WebImage, ...]
    sentences: tuple[WebSentence, ...]


@dataclass(frozen=True, slots=True)
class _Names:
    """The words of all names, by numbers: places of characters by word, and of each its first word and how many."""

    characters: tuple[Character, ...]
    places: dict[str, npt.NDArray[np.int64]]
    first: npt.NDArray[np.str_]
    counts: npt.NDArray[np.int64]
    codepoints: npt.NDArray[np.int64]


@lru_cache(maxsize=1)
def _names() -> _Names:
    found = tuple(characters())
    each = [words(character.name) for character in found]
    index: defaultdict[str, list[int]] = defaultdict(list)
    for place, own in enumerate(each):
        for word in set(own):
            index[word].append(place)
    return _Names(
        characters=found,
        places={word: np.array(places) for word, places in index.items()},
        first=np.array([own[0] for own in each]),
        counts=np.array([len(set(own)) for own in each]),
        codepoints=np.array([character.codepoint for character in found]),
    )


@cache
def confusables(character: Character) -> tuple[Character, ...]:
    """Return the characters that a search most likely mistakes for this one.

    Parameters
    ----------
    character
        A class of the catalogue.

    Returns
    -------
    tuple of Character
        The :data:`CONFUSABLES` others whose names share the largest part of
        their words (Jaccard index), the same first word, mostly the script,
        counting once more; ties go by code point.
    """
    names = _names()
    script, *more = words(character.name)
    own = {script, *more}
    there = [names.places[word] for word in own if word in names.places]
    shared = np.bincount(np.concatenate(there), minlength=len(names.counts)) if there else np.zeros_like(names.counts)
    near = np.flatnonzero((shared > 0) & (names.codepoints != character.codepoint))
    if len(near) < CONFUSABLES:
        near = np.flatnonzero(names.codepoints != character.codepoint)
    in_common = shared[near]
    similarity = in_common / (len(own) + names.counts[near] - in_common) + (names.first[near] == script)
    order = np.lexsort((names.codepoints[near], -similarity))[:CONFUSABLES]
    return tuple(names.characters[place] for place in near[order])


def truths(count: int, wrong_rate: float, off_topic_rate: float, order: np.random.Generator) -> list[Truth]:
    """Lay out which of the hits are right.

    Parameters
    ----------
    count
        Number of hits, at least 0.
    wrong_rate, off_topic_rate
        Shares of hits in [0, 1] that show another character, or none.  They
        hold exactly, up to rounding to whole hits (halves upwards, the
        off-topic part giving way if both would not fit).
    order
        Shuffles the hits.

    Returns
    -------
    list of str
        One of :data:`Truth` for each hit.

    Raises
    ------
    ValueError
        A negative count, or shares outside [0, 1] or together above 1.
    """
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    if not (wrong_rate >= 0 and off_topic_rate >= 0 and wrong_rate + off_topic_rate <= 1 + 1e-9):
        raise ValueError(f"rates must be shares that fit together: {wrong_rate}, {off_topic_rate}")
    wrong = min(count, math.floor(count * wrong_rate + 0.5))
    off_topic = min(count - wrong, math.floor(count * off_topic_rate + 0.5))
    counts: dict[Truth, int] = {
        "wrong": wrong,
        "off-topic": off_topic,
        "right": count - wrong - off_topic,
    }
    laid = [truth for truth, repeats in counts.items() for _ in range(repeats)]
    return [laid[i] for i in order.permutation(count)]


def _sentences_on(character: Character, source: Source) -> list[str]:
    composed = [mention(character.name, lead, tail) for lead in source.leads for tail in TAILS]
    return describe(character)[source.turn :: 2] + composed


def _pick(options: Sequence[Character], rng: np.random.Generator) -> Character:
    return options[int(rng.integers(len(options)))]


def search(
    character: Character,
    *,
    seed: int,
    images: int,
    sentences: int,
    wrong_rate: float,
    off_topic_rate: float,
    sources: tuple[str, ...] = ("fonts-a", "fonts-b"),
    side: int = render.SIDE,
) -> Results:
    """Search the simulated web for a character by its name.

    Parameters
    ----------
    character
        The class; its name is the keyword.
    seed
        Fixes the whole web: the same arguments return the same pixels and
        words, in any order of calls.
    images, sentences
        Number of hits of either kind.
    wrong_rate, off_topic_rate
        Shares of the hits of either kind, as in :func:`truths`.
    sources
        Sites to search; hits come from them in turn.
    side
        Side of the images in pixels.

    Returns
    -------
    Results
        Right images show the character in a face of the source, wrong ones one
        of its :func:`confusables`.  Right sentences name or describe the
        character and do not repeat before the source has run out of them.

    Raises
    ------
    ValueError
        Counts or rates as in :func:`truths`, or an unknown or no source.
    """
    if not sources or any(name not in SOURCES for name in sources):
        raise ValueError(f"unknown or no source in {sources}; known: {', '.join(SOURCES)}")
    label = character.label

    def layout(kind: str, count: int) -> list[Truth]:
        order = labelled_generator(seed, "web order", kind, label, *sources, count)
        return truths(count, wrong_rate, off_topic_rate, order)

    found_images: list[WebImage] = []
    for i, truth in enumerate(layout("image", images)):
        name = sources[i % len(sources)]
        rng = labelled_generator(seed, "web image", name, label, i)
        if truth == "off-topic":
            subject = list(offtopic.PICTURES)[int(rng.integers(len(offtopic.PICTURES)))]
            drawn = offtopic.picture(rng, subject, side=side)
        else:
            shown = character if truth == "right" else _pick(confusables(character), rng)
            subject = shown.name
            drawn = render.draw(
                shown.char,
                seed=seed,
                split_name=f"web {name} {label}",
                index=i,
                side=side,
                faces=SOURCES[name].faces,
            )
        item = Provenance(f"{name}/{seed}/{label}/image/{i}", character.name, name, truth, subject)
        found_images.append(WebImage(item, drawn))

    own = {name: _sentences_on(character, SOURCES[name]) for name in sources}
    turns = {name: labelled_generator(seed, "web texts", name, label).permutation(len(own[name])) for name in sources}
    found_sentences: list[WebSentence] = []
    for i, truth in enumerate(layout("sentence", sentences)):
        name = sources[i % len(sources)]
        rng = labelled_generator(seed, "web sentence", name, label, i)
        if truth == "off-topic":
            subject, text = "everyday", offtopic.sentence(rng)
        elif truth == "right":
            turn = turns[name][i // len(sources) % len(own[name])]
            subject, text = character.name, own[name][int(turn)]
        else:
            shown = _pick(confusables(character), rng)
            options = _sentences_on(shown, SOURCES[name])
            subject, text = shown.name, options[int(rng.integers(len(options)))]
        item = Provenance(f"{name}/{seed}/{label}/sentence/{i}", character.name, name, truth, subject)
        found_sentences.append(WebSentence(item, text))
    return Results(tuple(found_images), tuple(found_sentences))
