"""Shift from pixels: distorted images of queries are encoded again, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from bench.cache import FeatureCache
from bench.core.dataset import Dataset
from bench.data.glyphs.dataset import Size, load
from bench.data.images.decode import decode
from bench.encoders.image_tower import loaded
from bench.functional.distortions import distort
from bench.scenarios.shift import Shift
from bench.utils.random import Stream

SMALL = Size(seen=4, validation=2, unseen=4, support=4, query=3, held_out=1, images=2, sentences=2)


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(SMALL, cache=FeatureCache(tmp_path_factory.mktemp("cache")))


def test_queries_are_what_the_encoder_makes_of_their_distorted_images(
    glyphs: Dataset, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("features")))
    recipe = Shift(distort="occlude", severity=3.0, shots=2)
    (condition,) = recipe.conditions(glyphs)
    assert {"distort": "occlude", "severity": 3.0}.items() <= condition.items()
    one, two = (recipe.deal(glyphs, condition, rng=Stream(seed)).sessions[0] for seed in (0, 1))
    by_id = dict(zip(two.queries.ids.tolist(), two.queries.x, strict=True))
    assert all(torch.equal(x, by_id[name]) for name, x in zip(one.queries.ids.tolist(), one.queries.x, strict=True))
    before = glyphs.role("query")
    assert set(one.queries.ids.tolist()) == set(before.ids.tolist())
    row, name = 5, str(one.queries.ids[5])
    assert glyphs.pictures is not None
    covered = distort(decode(glyphs.pictures.read[name]()), "occlude", 3.0, Stream(0).child("distort", "occlude", name))
    expected = loaded("glyphs").encode_images([covered]).float()[0]
    cosine = torch.nn.functional.cosine_similarity(one.queries.x[row].float(), expected, dim=0)
    assert float(cosine) > 0.9999
    unshifted = dict(zip(one.strangers.ids.tolist(), one.strangers.x, strict=True))
    assert torch.equal(unshifted[f"{name} (unshifted)"], before.x[before.ids.tolist().index(name)])
    assert not torch.equal(one.queries.x[row], unshifted[f"{name} (unshifted)"])
