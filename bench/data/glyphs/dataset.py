"""The data set ``glyphs``: characters drawn from fonts, encoded by the bundled open_clip model, through the cache."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

import bench.data.glyphs
import bench.utils.random
from bench.cache import FeatureCache, cache_root
from bench.cache.store import content_key
from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.registry import dataset
from bench.data.glyphs import render, simulated_web
from bench.data.glyphs.catalogue import SPLITS, Character, characters
from bench.data.images.encode import encode_source, encode_texts
from bench.data.images.items import ImageItem
from bench.data.item_images import Pictures
from bench.encoders import class_texts, load_encoder
from bench.encoders.encoder import Encoder
from bench.encoders.glyphs.load import NAME as BUNDLED
from bench.encoders.glyphs.load import NEAR
from bench.encoders.glyphs.prompts import PROMPTS
from bench.encoders.load import encoder_slug, without_suffixes
from bench.encoders.prompts import of_strings
from bench.utils.errors import BenchError
from bench.utils.hashing import code_digest, digest
from bench.utils.random import Stream


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is drawn. The default encodes in about 20 seconds on one core.

    Attributes
    ----------
    seen, validation, unseen : int
        Classes of each part of the catalogue's class split.
    support, query, held_out : int
        Images a class in the splits ``support``, ``query`` and ``validation``.
    images, sentences : int
        Memory items a class; more than the 16 that prototypes are made of, so that choosing them matters.
    wrong_rate, off_topic_rate : float
        Shares of the memory items that show another character, or none.
    """

    seen: int = 80
    validation: int = 40
    unseen: int = 80
    support: int = 16
    query: int = 8
    held_out: int = 4
    images: int = 20
    sentences: int = 20
    wrong_rate: float = 0.1
    off_topic_rate: float = 0.1


SEED = 0
"""Seed of the classes, images and sentences; seeds of a run draw from what these give."""


def classes(size: Size) -> list[Character]:
    """Return the classes, ordered by code point: a fixed random choice of those that every face can draw."""
    chosen: list[Character] = []
    for split in SPLITS:
        able = [c for c in characters(split) if len(render.faces_with(c.char)) == len(render.FACES)]
        count = getattr(size, split)
        if count > len(able):
            raise BenchError(f"glyphs has {len(able)} {split} classes, {count} are wanted; ask for fewer")
        order = Stream(SEED).child("glyphs", "classes", split).permutation(len(able))
        chosen += [able[row] for row in order[:count]]
    return sorted(chosen, key=lambda c: c.codepoint)


def drawing() -> str:
    """Return a hash of all that moves a pixel besides the draw's own name: code, catalogue and rasterisers."""
    folder = Path(bench.data.glyphs.__file__).parent
    code = code_digest([*folder.glob("*.py"), folder / "catalogue.txt", Path(bench.utils.random.__file__)])
    return digest(code, [version(name) for name in ("matplotlib", "numpy", "pillow")])


def _pgm(pixels: np.ndarray) -> bytes:
    # The plainest image format: encoding and decoding cost nothing beside drawing.
    height, width = pixels.shape
    return b"P5 %d %d 255\n" % (width, height) + pixels.tobytes()


def _draw(character: Character, split: str, index: int, faces: tuple[str, ...]) -> bytes:
    return _pgm(render.draw(character.char, seed=SEED, split_name=split, index=index, faces=faces))


def split_items(
    chosen: Sequence[Character], split: str, count: int, state: str, faces: tuple[str, ...] = render.FACES
) -> list[ImageItem]:
    """Return ``count`` drawn images a class; ``state`` is :func:`drawing`."""
    drawn_in = "" if faces == render.FACES else f" {' '.join(faces)}"
    return [
        ImageItem(
            id=f"{split}/{c.label}/{index}",
            class_name=c.name,
            read=partial(_draw, c, split, index, faces),
            split=split,
            key=content_key(f"{state} {SEED} {split} {c.label} {index}{drawn_in}"),
        )
        for c in chosen
        for index in range(count)
    ]


@lru_cache(maxsize=8)
def _found(character: Character, size: Size) -> tuple[simulated_web.WebImage, ...]:
    return _search(character, size, images=size.images, sentences=0).images


def _search(character: Character, size: Size, *, images: int, sentences: int) -> simulated_web.Results:
    return simulated_web.search(
        character,
        seed=SEED,
        images=images,
        sentences=sentences,
        wrong_rate=size.wrong_rate,
        off_topic_rate=size.off_topic_rate,
    )


def _hit(character: Character, size: Size, index: int, name: str) -> bytes:
    hit = _found(character, size)[index]
    if hit.provenance.id != name:
        raise RuntimeError(f"hit {index} of {character.name} is {hit.provenance.id} instead of {name}")
    return _pgm(hit.pixels)


def memory_items(chosen: Sequence[Character], size: Size, state: str) -> tuple[list[ImageItem], list[str]]:
    """Return the images that the simulated web gives for each class's name, and the site of each."""
    sites = list(simulated_web.SOURCES)
    items, sources = [], []
    for c in chosen:
        for index in range(size.images):
            site = sites[index % len(sites)]
            name = f"{site}/{SEED}/{c.label}/image/{index}"
            made = content_key(f"{state} {name} {size.images} {size.wrong_rate} {size.off_topic_rate}")
            items.append(ImageItem(name, c.name, partial(_hit, c, size, index, name), "memory", made))
            sources.append(site)
    return items, sources


def load(
    size: Size | None = None,
    *,
    encoder: str = BUNDLED,
    device: str = "cpu",
    cache: FeatureCache | None = None,
    progress: bool = False,
    name: str = "glyphs",
    faces: tuple[str, ...] = render.FACES,
) -> Dataset:
    """Return the data set.

    Parameters
    ----------
    size : Size, optional
        How much is drawn.
    encoder : str
        As :func:`bench.encoders.load_encoder` takes it; the bundled one knows these characters, others hardly.
    device : str
        Where it encodes.
    cache : FeatureCache, optional
        Where features are kept; the user's cache if left out.
    progress : bool
        Show a bar while images are encoded.
    name : str
        What the data set is called.
    faces : tuple of str
        Those that the splits are drawn in; the web's images are in any.
    """
    size = size or Size()
    cache = cache or FeatureCache(cache_root())
    coder = load_encoder(encoder, device=device)
    chosen = classes(size)
    names = tuple(c.name for c in chosen)
    label_of = {name: label for label, name in enumerate(names)}
    state = drawing()
    drawn = {
        split: split_items(chosen, split, count, state, faces)
        for split, count in (("support", size.support), ("query", size.query), ("validation", size.held_out))
    }
    found, sources = memory_items(chosen, size, state)
    every = [item for items in drawn.values() for item in items] + found
    # Drawn in one thread: what is decoded here is drawn first, and the rasteriser's fonts are for one thread at a time.
    # What a batch of 64 needs fits into a processor's cache: a fifth less time than one of 128, and the same features.
    x = encode_source(coder, every, cache=cache, batch=64, workers=1, progress=progress).x
    if len(x) != len(every):
        raise RuntimeError(f"{len(every) - len(x)} drawn images could not be read back")
    labels = torch.tensor([label_of[item.class_name] for item in every], dtype=torch.int64)
    ids = np.array([item.id for item in every])
    splits, start = {}, 0
    for split, items in drawn.items():
        rows = slice(start, start + len(items))
        splits[split] = Features(x[rows].clone(), labels[rows], ids[rows], names)
        start += len(items)
    prompts = Features.empty(x.shape[1], names)
    if coder.has_texts:
        texts = class_texts(
            lambda wanted: encode_texts(coder, wanted, cache=cache), names, of_strings(PROMPTS, "the glyph prompts")
        )
        prompts = Features(texts.x, torch.arange(len(names)), np.array([f"prompt/{c.label}" for c in chosen]), names)
    return Dataset(
        card=Card(
            name=name if encoder == BUNDLED else f"{name}@{encoder_slug(encoder)}",
            revision=digest(state, coder.weights_digest, repr(size), list(faces))[:12],
            licence="Apache-2.0; fonts DejaVu (Bitstream Vera licence); names Unicode (Unicode Licence)",
            citation="docs/glyphs.md",
            encoder=encoder,
            space=f"{encoder}@{coder.weights_digest[:12]}",
            description="Unicode characters by name, drawn from fonts; open_clip encoder; memory from a simulated web",
            near=NEAR if without_suffixes(encoder) == BUNDLED else Card.near,
            encoder_texts=coder.texts if coder.has_texts else "none",
        ),
        class_names=names,
        splits=splits,
        roles={"support": ("support",), "query": ("query",), "validation": ("validation",)},
        prompts=prompts,
        memory=Memory(
            Items(x[start:].clone(), labels[start:], ids[start:], np.array(sources, dtype=np.str_)),
            _sentences(coder, chosen, size, cache) if coder.has_texts else Items.empty(x.shape[1]),
        ),
        class_split={part: tuple(n for n, c in enumerate(chosen) if c.split == part) for part in SPLITS},
        pictures=Pictures.of(encoder, every, coder.weights_digest),
    )


@dataset("glyphs", description="Unicode characters by name, open_clip encoder, memory from a simulated web")
def bundled() -> Dataset:
    """Return the data set as it is named on the command line; a bar is shown where someone sees it."""
    return load(progress=sys.stderr.isatty())


SERIF = tuple(face for face in render.FACES if face.startswith("DejaVuSerif"))
SANS = tuple(face for face in render.FACES if face not in SERIF)
_IN_SOME_FACES = Size(images=0)
"""Without images from the web, which are in faces of both kinds."""


@dataset("glyphs-sans", description="The classes of glyphs in the eight faces without serifs, no image memory")
def sans() -> Dataset:
    """Return what ``shift`` can learn from before it asks about ``glyphs-serif``."""
    return load(_IN_SOME_FACES, name="glyphs-sans", faces=SANS, progress=sys.stderr.isatty())


@dataset("glyphs-serif", description="The classes of glyphs in the four faces with serifs, no image memory")
def serif() -> Dataset:
    """Return the same classes in other faces; size, place, slant and noise are those of ``glyphs-sans``."""
    return load(_IN_SOME_FACES, name="glyphs-serif", faces=SERIF, progress=sys.stderr.isatty())


def sentences_of(size: Size | None = None) -> list[dict[str, str]]:
    """Return class, text and source of the sentences of the text memory, in its order."""
    size = size or Size()
    chosen = classes(size)
    return [
        {"class": chosen[label].name, "text": hit.text, "source": hit.provenance.source}
        for label, hit in _hits(chosen, size)
    ]


def _hits(chosen: Sequence[Character], size: Size) -> list[tuple[int, simulated_web.WebSentence]]:
    return [
        (label, hit)
        for label, c in enumerate(chosen)
        for hit in _search(c, size, images=0, sentences=size.sentences).sentences
    ]


def _sentences(encoder: Encoder, chosen: Sequence[Character], size: Size, cache: FeatureCache) -> Items:
    hits = _hits(chosen, size)
    x, _ = encode_texts(encoder, [hit.text for _, hit in hits], cache=cache)
    return Items(
        x,
        torch.tensor([label for label, _ in hits], dtype=torch.int64),
        np.array([hit.provenance.id for _, hit in hits]),
        np.array([hit.provenance.source for _, hit in hits]),
    )
