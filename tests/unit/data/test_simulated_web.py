from collections import Counter

import numpy as np
import pytest

from bench.data.glyphs import render, simulated_web
from bench.data.glyphs.catalogue import Character, characters
from bench.data.glyphs.texts import describe
from bench.utils.random import labelled_generator

CAST = [c for c in characters() if c.char in "Čж⅔≥☂"]


def search(character: Character, **changes: object) -> simulated_web.Results:
    options: dict[str, object] = {
        "seed": 3,
        "images": 20,
        "sentences": 20,
        "wrong_rate": 0.25,
        "off_topic_rate": 0.1,
    }
    return simulated_web.search(character, **(options | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("character", CAST, ids=lambda c: c.label)
def test_rates_are_exact(character: Character) -> None:
    results = search(character)
    for items in (results.images, results.sentences):
        assert Counter(i.provenance.truth for i in items) == {"right": 13, "wrong": 5, "off-topic": 2}


@pytest.mark.parametrize(
    ("count", "wrong", "off_topic", "expected"),
    [
        (0, 0.5, 0.5, (0, 0, 0)),
        (10, 0.0, 0.0, (10, 0, 0)),
        (10, 0.3, 0.2, (5, 3, 2)),
        (3, 0.5, 0.5, (0, 2, 1)),
        (7, 1.0, 0.0, (0, 7, 0)),
    ],
)
def test_truths(count: int, wrong: float, off_topic: float, expected: tuple[int, int, int]) -> None:
    laid = Counter(simulated_web.truths(count, wrong, off_topic, labelled_generator(0)))
    assert (laid["right"], laid["wrong"], laid["off-topic"]) == expected


@pytest.mark.parametrize("rates", [(-0.1, 0.0), (0.0, -0.1), (0.6, 0.6), (float("nan"), 0.0)])
def test_impossible_rates_are_refused(rates: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="rates"):
        search(CAST[0], wrong_rate=rates[0], off_topic_rate=rates[1])


def test_negative_counts_and_unknown_sources_are_refused() -> None:
    with pytest.raises(ValueError, match="count"):
        search(CAST[0], images=-1)
    for sources in ((), ("fonts-a", "elsewhere")):
        with pytest.raises(ValueError, match="source"):
            search(CAST[0], sources=sources)


def test_same_web_in_another_order() -> None:
    first = {c: search(c) for c in CAST}
    for character in reversed(CAST):
        again = search(character)
        assert again.sentences == first[character].sentences
        for one, other in zip(again.images, first[character].images, strict=True):
            assert one.provenance == other.provenance
            assert (one.pixels == other.pixels).all()


def test_another_seed_is_another_web() -> None:
    one, other = search(CAST[0]), search(CAST[0], seed=4)
    pairs = zip(one.images, other.images, strict=True)
    assert all((a.pixels != b.pixels).any() for a, b in pairs)
    assert one.sentences != other.sentences


def test_items_carry_their_provenance() -> None:
    seen: set[str] = set()
    for character in CAST:
        results = search(character)
        items = [i.provenance for i in results.images] + [s.provenance for s in results.sentences]
        seen |= {item.id for item in items}
        for item in items:
            assert item.keyword == character.name
            assert item.source in simulated_web.SOURCES
            assert (item.subject == character.name) == (item.truth == "right")
    assert len(seen) == 40 * len(CAST)


def test_right_sentences_speak_of_the_character() -> None:
    for character in CAST:
        right = [s.text for s in search(character).sentences if s.provenance.truth == "right"]
        assert len(set(right)) == len(right)
        assert all(character.name in text or text in describe(character) for text in right)


def test_sources_share_nothing() -> None:
    a, b = simulated_web.SOURCES["fonts-a"], simulated_web.SOURCES["fonts-b"]
    assert set(a.faces).isdisjoint(b.faces)
    assert set(a.faces) | set(b.faces) == set(render.FACES)
    assert set(a.leads).isdisjoint(b.leads)
    only = [search(CAST[0], sources=(name,)) for name in simulated_web.SOURCES]
    assert {i.provenance.source for i in only[0].images} == {"fonts-a"}
    texts = [{s.text for s in results.sentences if s.provenance.truth == "right"} for results in only]
    assert texts[0].isdisjoint(texts[1])
    pixels = [{i.pixels.tobytes() for i in results.images} for results in only]
    assert pixels[0].isdisjoint(pixels[1])


def test_every_source_can_draw_every_class() -> None:
    for source in simulated_web.SOURCES.values():
        assert all(render.faces_with(c.char, source.faces) for c in characters())


def test_confusables_are_near_and_other() -> None:
    for character in characters()[::50]:
        near = simulated_web.confusables(character)
        assert len(near) == len(set(near)) == simulated_web.CONFUSABLES
        assert character not in near
    caron = next(c for c in characters() if c.char == "Č")
    assert all(c.name.startswith("latin") for c in simulated_web.confusables(caron))


def test_images_have_the_side_asked_for() -> None:
    results = search(CAST[0], images=6, sentences=0, side=32)
    assert all(i.pixels.shape == (32, 32) and i.pixels.dtype == np.uint8 for i in results.images)
    assert results.sentences == ()
