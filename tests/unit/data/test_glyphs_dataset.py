"""The bundled data set, from pixels through open_clip and the cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bench.cache import FeatureCache
from bench.core.dataset import Dataset
from bench.data import registry
from bench.data.glyphs import render, simulated_web
from bench.data.glyphs.catalogue import characters
from bench.data.glyphs.dataset import SANS, SERIF, Size, classes, drawing, load, memory_items, split_items
from bench.data.images.decode import decode
from bench.encoders import load_encoder
from bench.encoders.glyphs.model import load as load_bare
from bench.scenarios.shift import Shift
from bench.utils.errors import BenchError
from bench.utils.random import Stream

SMALL = Size(seen=4, validation=2, unseen=3, support=3, query=2, held_out=1, images=4, sentences=5, wrong_rate=0.25)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return FeatureCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def dataset(cache: FeatureCache) -> Dataset:
    return load(SMALL, cache=cache)


def test_its_parts(dataset: Dataset) -> None:
    dataset.check()
    assert {name: len(split) for name, split in dataset.splits.items()} == {"support": 27, "query": 18, "validation": 9}
    assert (len(dataset.memory.images), len(dataset.memory.texts), len(dataset.prompts)) == (36, 45, 9)
    assert {part: len(ids) for part, ids in dataset.class_split.items()} == {"seen": 4, "validation": 2, "unseen": 3}
    every = [
        *dataset.memory.images.ids,
        *dataset.memory.texts.ids,
        *(i for s in dataset.splits.values() for i in s.ids),
    ]
    assert len(set(every)) == len(every)
    assert set(dataset.memory.images.sources) == set(simulated_web.SOURCES)
    held_out = {c.name for part in ("validation", "unseen") for c in characters(part)}
    assert not held_out & {dataset.class_names[label] for label in dataset.class_split["seen"]}


def test_a_second_load_draws_nothing_needs_no_model_and_is_the_same(
    dataset: Dataset, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("drawn or loaded again")

    monkeypatch.setattr(render, "draw", never)
    monkeypatch.setattr("bench.encoders.glyphs.load._model", never)
    again = load(SMALL, cache=cache)
    assert again.fingerprint == dataset.fingerprint


def test_features_are_those_of_the_drawn_images(dataset: Dataset) -> None:
    chosen = classes(SMALL)
    pixels = np.stack([render.draw(chosen[4].char, seed=0, split_name="query", index=n) for n in range(2)])
    rows = dataset.splits["query"].of_classes([4])
    assert torch.allclose(rows.x, load_bare().images(pixels), atol=1e-5)


def test_memory_is_what_the_simulated_web_returns(dataset: Dataset) -> None:
    chosen = classes(SMALL)
    found = simulated_web.search(chosen[1], seed=0, images=4, sentences=5, wrong_rate=0.25, off_topic_rate=0.1)
    images, texts = (items.of_classes([1]) for items in (dataset.memory.images, dataset.memory.texts))
    assert images.ids.tolist() == [hit.provenance.id for hit in found.images]
    assert images.sources.tolist() == [hit.provenance.source for hit in found.images]
    assert texts.ids.tolist() == [hit.provenance.id for hit in found.sentences]
    bare = load_bare()
    assert torch.allclose(images.x, bare.images(np.stack([hit.pixels for hit in found.images])), atol=1e-5)
    assert torch.allclose(texts.x, bare.texts([hit.text for hit in found.sentences]), atol=1e-5)
    assert torch.allclose(dataset.prompts.x, bare.classes(dataset.class_names), atol=1e-5)


def test_every_size_that_moves_an_image_is_in_its_key() -> None:
    chosen = classes(SMALL)[:1]
    sizes = [SMALL, Size(images=4, wrong_rate=0.5), Size(images=5, wrong_rate=0.25)]
    keys = [memory_items(chosen, size, drawing())[0][0].key for size in sizes]
    assert len(set(keys)) == len(keys)
    splits = {split_items(chosen, split, 1, state)[0].key for split in ("a", "b") for state in ("x", "y")}
    assert len(splits) == 4


def test_drawn_bytes_decode_to_the_drawn_pixels() -> None:
    chosen = classes(SMALL)[:1]
    item = split_items(chosen, "support", 1, drawing())[0]
    drawn = render.draw(chosen[0].char, seed=0, split_name="support", index=0)
    assert np.array_equal(np.asarray(decode(item.read())), drawn)


def test_it_can_be_named_and_too_many_classes_are_refused() -> None:
    assert registry.known()["glyphs"].origin == "bundled"
    with pytest.raises(BenchError, match="ask for fewer"):
        classes(Size(unseen=10_000))


def test_what_is_known_of_the_encoder_is_what_its_model_says() -> None:
    encoder = load_encoder("glyphs")
    assert encoder.known is not None
    assert encoder.space == replace(encoder, known=None).space
    assert encoder.model is encoder.model, "loaded twice"
    assert load_encoder("glyphs", precision="bf16").weights_digest != encoder.weights_digest


def test_the_encoder_is_frozen() -> None:
    encoder = load_encoder("glyphs")
    assert not encoder.model.training
    assert not any(p.requires_grad for p in encoder.model.parameters())


def test_other_faces_are_a_shift_of_the_same_classes(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (len(SANS), len(SERIF), {*SANS, *SERIF}) == (8, 4, set(render.FACES))
    drawn: list[tuple[str, ...]] = []
    draw = render.draw

    def noted(char: str, **given: Any) -> Any:
        drawn.append(given["faces"])
        return draw(char, **given)

    monkeypatch.setattr(render, "draw", noted)
    bare = replace(SMALL, images=0)
    sans, serif = (load(bare, cache=cache, name=n, faces=f) for n, f in (("sans", SANS), ("serif", SERIF)))
    assert set(drawn) == {SANS, SERIF}
    assert (sans.class_names, len(sans.memory.images)) == (serif.class_names, 0)
    assert sans.card.revision != serif.card.revision
    recipe = Shift(train_on="sans", shots=2)
    (condition,) = recipe.conditions(serif)
    (session,) = recipe.deal(serif, condition, rng=Stream(0), source=sans).sessions
    assert (len(session.task.support), len(session.strangers)) == (18, 18)
    # Some symbols are the same picture in both kinds of faces, and are left out.
    before, after = ({tuple(row) for row in d.splits["query"].x.tolist()} for d in (sans, serif))
    assert {tuple(row) for row in session.queries.x.tolist()} == after - before
    assert len(after - before) >= 12


def test_draws_in_other_faces_have_the_same_ground_and_noise() -> None:
    one, other = (render.draw("A", seed=0, split_name="query", index=1, faces=faces) for faces in (SANS, SERIF))
    assert (one != other).any()
    assert (one[:4] == other[:4]).all(), "no ink reaches the border"
