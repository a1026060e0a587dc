"""The bundled encoder on a card: the CPU's features, and its tower trained from pixels."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from bench.cache import FeatureCache
from bench.core.dataset import Dataset
from bench.core.registry import METHODS, SCENARIOS
from bench.data.glyphs.catalogue import characters
from bench.data.glyphs.dataset import Size, load
from bench.data.glyphs.render import draw
from bench.encoders import BATCH_TOLERANCE, load_encoder
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.utils.random import Stream
from tests.gpu.device import DEVICE, on_a_gpu

pytestmark = on_a_gpu

SIZE = Size(seen=4, validation=2, unseen=2, support=3, query=2, held_out=1, images=1, sentences=1)


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(SIZE, cache=FeatureCache(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_features_are_those_of_the_cpu_within_the_stated_tolerance(batch: int) -> None:
    chosen = characters("unseen")[:40]
    images = [Image.fromarray(draw(c.char, seed=0, split_name="gpu", index=n)) for n, c in enumerate(chosen)]
    texts = [c.name for c in chosen]
    here, there = load_encoder("glyphs", device="cpu"), load_encoder("glyphs", device=DEVICE)
    assert here.space == there.space, "one entry of the cache for both devices"
    apart = there.encode_images(images, batch=batch) - here.encode_images(images)
    assert float(apart.abs().max()) <= BATCH_TOLERANCE
    apart = there.encode_texts(texts, batch=batch).x - here.encode_texts(texts).x
    assert float(apart.abs().max()) <= BATCH_TOLERANCE


def test_a_data_set_that_is_encoded_on_a_card_is_that_of_the_cpu(
    glyphs: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    there = load(SIZE, cache=FeatureCache(tmp_path_factory.mktemp("cache")), device=DEVICE)
    assert there.card == glyphs.card
    for name, split in glyphs.splits.items():
        assert torch.equal(there.splits[name].labels, split.labels)
        assert float((there.splits[name].x - split.x).abs().max()) <= BATCH_TOLERANCE


@pytest.mark.parametrize("name", ["lwf", "replay", "foster", "icarl"])
def test_the_tower_is_trained_on_the_card(glyphs: Dataset, name: str) -> None:
    recipe = SCENARIOS.get("incremental").cls(base=4, increment=4, exemplars=8)
    dealt = recipe.deal(glyphs, next(iter(recipe.conditions(glyphs))), rng=Stream(0))
    method = METHODS.get(name).cls(depth="full", epochs=2, min_steps=2, batch=8)
    found = []
    for device in ("cpu", DEVICE):
        there = dealt.to(device)
        found.append(run_cell(method, Handover(there, 0), label=name).outcomes)
    here, there = found
    assert [o.kind for o in there] == [o.kind for o in here] == ["built", "extended"]
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(other.confidences, one.confidences, atol=0.02, rtol=0.05)
