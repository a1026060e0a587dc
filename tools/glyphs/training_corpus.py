"""Training data of the bundled encoder: seen classes, and off-topic material."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.glyphs import offtopic, texts
from bench.data.glyphs.catalogue import Character, characters
from bench.data.glyphs.texts import describe
from bench.encoders.glyphs.prompts import PROMPTS
from bench.utils.random import labelled_generator

SEED = 7
"""Seed of everything that training draws."""

_DROPPED_WORDS = 0.1
_EVERYDAY = 500  # off-topic sentences that the vocabulary is built from


def training_texts(seen: Sequence[Character], held_out: Sequence[Character]) -> list[list[str]]:
    """List what the encoder may read about the classes that it trains on.

    Parameters
    ----------
    seen
        The classes to train on.
    held_out
        All other classes.

    Returns
    -------
    list of list of str
        For each seen class its descriptions.  A description that mentions the
        name of a held-out class, as a case pair or as a part, is left out.
    """
    names = [f" {c.name} " for c in held_out]
    kept: list[list[str]] = []
    for character in seen:
        own = [(text, f" {text.removeprefix(character.name)} ") for text in describe(character)]
        kept.append([text for text, rest in own if not any(name in rest for name in names)])
    return kept


def _choose(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


@dataclass(frozen=True)
class Corpus:
    """What training reads: seen classes only, and off-topic material.

    Attributes
    ----------
    seen
        The classes to train on.
    descriptions
        For each of them the sentences of :func:`training_texts`.
    forbidden
        Names of all other classes.
    """

    seen: list[Character]
    descriptions: list[list[str]]
    forbidden: frozenset[str]

    def all_texts(self) -> Iterator[str]:
        """Yield the texts that the vocabulary is built from."""
        for character, described in zip(self.seen, self.descriptions, strict=True):
            yield character.name
            yield from described
        for lead in texts.LEADS:
            yield from (texts.mention("", lead, tail) for tail in texts.TAILS)
        yield from [prompt.format("") for prompt in PROMPTS] * 2
        yield from list(offtopic.PICTURES.values()) * 2
        for i in range(_EVERYDAY):
            yield offtopic.sentence(labelled_generator(SEED, "vocabulary", i))

    def text(self, row: int, rng: np.random.Generator) -> str:
        """Choose a text for a class: a prompt, a sentence, or a description.

        Parameters
        ----------
        row
            Position of the class in ``seen``.
        rng
            Source of all chance.

        Returns
        -------
        str
            A text that does not name a held-out class.
        """
        chance = rng.random()
        name = self.seen[row].name
        if chance < 0.25 and self.descriptions[row]:
            return _choose(self.descriptions[row], rng)
        if chance < 0.4:
            return texts.mention(name, _choose(texts.LEADS, rng), _choose(texts.TAILS, rng))
        if chance < 0.6:
            # Without some of its words a name still has to mean what is left,
            # so that words carry meaning on their own.
            shorter = " ".join(w for w in name.split() if rng.random() >= _DROPPED_WORDS)
            name = shorter if shorter and shorter not in self.forbidden else name
        return _choose(PROMPTS, rng).format(name)


def corpus() -> Corpus:
    """Gather the seen classes and the texts that training may read."""
    seen = characters("seen")
    held_out = characters("validation") + characters("unseen")
    return Corpus(seen, training_texts(seen, held_out), frozenset(c.name for c in held_out))
