"""Depth ``full``: the bundled encoder's image tower trained from pixels."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest
import torch

from bench.cache import FeatureCache
from bench.core.dataset import Dataset
from bench.core.registry import METHODS, SCENARIOS
from bench.core.state_bytes import nbytes
from bench.core.task import Episode, Session
from bench.data.glyphs.dataset import Size, load
from bench.data.images.open import open_source
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.item_images import Pictures
from bench.data.registry import resolve
from bench.encoders.image_tower import Tower
from bench.functional.classwise import normalise
from bench.learning.state_io import load as load_state
from bench.learning.state_io import save
from bench.runner.api import run
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.runner.in_pixels import in_pixels
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.random import Stream
from tests.unit.pictures import lay_out

QUICK = {"depth": "full", "epochs": 2, "min_steps": 2, "batch": 8, "tower_lr": 1e-4}


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a few glyphs whose images can be drawn again."""
    size = Size(seen=4, validation=2, unseen=2, support=3, query=2, held_out=1, images=1, sentences=1)
    return load(size, cache=FeatureCache(tmp_path_factory.mktemp("cache")))


def episode(dataset: Dataset, budget: int | None = 8) -> Episode:
    recipe = SCENARIOS.get("incremental").cls(base=4, increment=4, exemplars=budget)
    condition = next(iter(recipe.conditions(dataset)))
    return recipe.deal(dataset, condition, rng=Stream(0))


def test_the_tower_gives_the_features_of_the_encoder(glyphs: Dataset) -> None:
    assert glyphs.pictures is not None
    glyphs.pictures.check()
    support = glyphs.splits["support"]
    features = Tower.of("glyphs")(glyphs.pictures.pixels(support.ids))
    torch.testing.assert_close(normalise(features.detach()), support.x, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("name", ["lwf", "replay", "foster", "icarl"])
def test_trains_the_tower_and_leaves_the_encoder_as_it_was(glyphs: Dataset, name: str, tmp_path: Path) -> None:
    method = METHODS.get(name).cls(**QUICK)
    dealt = episode(glyphs)
    first, second = (in_pixels(session) for session in dealt.sessions)
    state = method.build(first.task, rng=Stream(0))
    later = method.extend(state, second.task, rng=Stream(1))
    own, old, new = Tower.of("glyphs"), tower(state), tower(later)
    moved = [k for k in own.weights if not torch.equal(own.weights[k], old.weights[k])]
    assert len(moved) > 0.9 * len(own.weights)
    assert any(not torch.equal(old.weights[k], new.weights[k]) for k in old.weights)
    assert all(torch.equal(own.buffers[k], new.buffers[k]) for k in own.buffers)
    with torch.no_grad():
        scores = method.score(later, second.queries.x)
        alone = torch.cat([method.score(later, x) for x in second.queries.x.split(5)])
    assert scores.shape == (len(second.queries), 8)
    torch.testing.assert_close(scores, alone, atol=2e-4, rtol=1e-4)
    if name != "lwf":
        assert later.exemplars.dimension == 3 * 48 * 48, "exemplars are pixels"
        assert len(later.exemplars) == 8
    save(later, tmp_path / "state.safetensors")
    with torch.no_grad():
        assert torch.equal(method.score(load_state(tmp_path / "state.safetensors"), second.queries.x), scores)
    assert nbytes(later) > nbytes(own)


def tower(state: object) -> Tower:
    net = getattr(state, "net", state)
    assert isinstance(net.tower, Tower)
    return net.tower


def test_training_the_tower_lowers_the_loss_more_than_training_the_head_alone(glyphs: Dataset) -> None:
    first = in_pixels(episode(glyphs).sessions[0])

    def loss(tower_lr: float) -> float:
        method = METHODS.get("replay").cls(**{**QUICK, "epochs": 5, "lr": 1e-3, "tower_lr": tower_lr})
        state = method.build(first.task, rng=Stream(0))
        with torch.no_grad():
            logits = method.score(state, first.task.support.x)
        targets = first.task.columns(first.task.support.labels)
        return float(torch.nn.functional.cross_entropy(logits, targets))

    trained = loss(1e-3)
    assert trained < loss(1e-12)
    assert trained == loss(1e-3), "the same seed gives the same weights"


def test_runs_by_name_and_a_data_set_without_images_is_skipped_with_the_reason(glyphs: Dataset) -> None:
    settings = {f"lwf.{key}": value for key, value in QUICK.items()}
    settings |= {"incremental.base": 4, "incremental.increment": 4}
    done = run("incremental", "lwf", glyphs, seeds=1, set=settings)
    assert done["status"].tolist() == ["ok", "ok"]
    assert done["n_queries"].tolist() == [8, 16]
    bare = dataclasses.replace(glyphs, pictures=None)
    skipped = run("incremental", "lwf", bare, seeds=1, set=settings)
    assert skipped["status"].tolist() == ["skipped"]
    assert "needs the images themselves" in skipped["reason"][0]
    assert done["queries_fingerprint"].notna().all()


def test_records_are_those_of_the_features_that_were_dealt(glyphs: Dataset) -> None:
    dealt = episode(glyphs)
    method = METHODS.get("replay").cls(**QUICK)
    outcomes = run_cell(method, Handover(dealt, 0), label="replay").outcomes
    for outcome, session in zip(outcomes, dealt.sessions, strict=True):
        assert outcome.session is session


def test_an_image_without_pixels_and_other_weights_are_said_in_one_line(glyphs: Dataset) -> None:
    session: Session = episode(glyphs).sessions[0]
    assert glyphs.pictures is not None
    gone = session.task.support.ids[0]
    some = Pictures("glyphs", {k: v for k, v in glyphs.pictures.read.items() if k != gone})
    with pytest.raises(Unsuitable, match=f"{re.escape(gone)} has features only"):
        in_pixels(dataclasses.replace(session, task=dataclasses.replace(session.task, pictures=some)))
    with pytest.raises(BenchError, match="other weights"):
        Pictures("glyphs", {}, weights="0" * 32).check()


def test_a_pack_that_names_its_images_knows_them(tmp_path: Path) -> None:
    folder = lay_out(
        tmp_path / "pictures", {f"{name}/{n}.png": 10 * c + n for c, name in enumerate("ab") for n in (1, 2)}
    )
    options = EncodeOptions(encoder="glyphs", name="noise", hold_out=0.5)
    pack = encode_pack(open_source(folder), tmp_path / "pack", options, cache=None).folder
    assert resolve(pack).pictures is None
    manifest = pack / "pack.yaml"
    manifest.write_text(manifest.read_text() + "images: ../pictures\n")
    os.utime(manifest, (0, 0))  # a pack is opened anew when its manifest is of another time
    found = resolve(pack)
    assert found.pictures is not None
    found.pictures.check()
    for split in found.splits.values():
        features = Tower.of("glyphs")(found.pictures.pixels(split.ids)).detach()
        torch.testing.assert_close(normalise(features), split.x.float(), atol=1e-5, rtol=0.0)
    manifest.write_text(manifest.read_text().replace("../pictures", "../nowhere"))
    os.utime(manifest, (1, 1))
    with pytest.raises(BenchError, match="does not exist"):
        resolve(pack)
