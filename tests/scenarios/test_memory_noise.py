"""A memory with wrong, off-topic or corrupted items."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import bench
from bench.scenarios.memory_noise import MemoryNoise
from bench.utils.errors import BenchError
from tests.scenarios.dealt import accuracy, deals
from tests.toy import dataset


def test_a_rate_below_0_is_refused_before_anything_is_dealt() -> None:
    with pytest.raises(BenchError, match="outside 0 to 1"):
        list(MemoryNoise(rates=(-0.1,)).conditions(dataset()))


def test_noise_in_one_of_two_memories_leaves_the_other_clean() -> None:
    data = dataset()
    recipe = MemoryNoise(rates=(0.0, 0.4), where=("both", "prototypes", "retrieval"), seen=0)
    clean = deals(recipe, data)[0][1].sessions[0].task.memory
    for condition, episode in deals(recipe, data):
        task, notes = episode.sessions[0].task, episode.sessions[0].notes
        noisy = {"retrieval": task.memory, "prototypes": task.for_prototypes.memory}
        for place, found in noisy.items():
            spoilt = condition["rate"] > 0 and condition["where"] in ("both", place)
            assert (found.fingerprint != clean.fingerprint) == spoilt
        assert notes["items_changed"] == (44 if condition["rate"] else 0)  # 0.4 of 80 images and of 30 texts
        assert notes["items_changed"] == len(notes["changed"])


def test_mml_makes_prototypes_of_the_prototype_memory_and_retrieves_from_the_other() -> None:
    data = dataset()
    recipe = MemoryNoise(rates=(0.0, 0.9), where=("prototypes", "retrieval"), seen=0)
    methods = ["mml-prototypes", "knn"]
    frame = bench.run(recipe, methods, data, seeds=1).frame
    found = {
        (row.method, json.loads(row.condition)["where"], json.loads(row.condition)["rate"]): row.n_correct
        for row in frame.itertuples()
    }
    for method, spared, hit in (("mml-prototypes", "retrieval", "prototypes"), ("knn", "prototypes", "retrieval")):
        assert found[method, spared, 0.0] == found[method, spared, 0.9]
        assert found[method, hit, 0.9] < 0.5 * found[method, hit, 0.0]


@pytest.mark.parametrize("modality", ["images", "texts"])
def test_off_topic_items_are_those_of_classes_that_take_no_part(modality: str) -> None:
    """Of their own modality; where the other has none of such classes, its items are drawn."""
    data = dataset()
    present = {"images": data.memory.images, "texts": data.memory.texts}
    other = "texts" if modality == "images" else "images"
    few = data.memory.replace(**{other: present[other].of_classes(range(6))})
    data = replace(data, memory=few, prompts=data.prompts.of_classes(list(range(6))))
    if modality == "texts":
        data = replace(data, splits={**data.splits, "train": data.splits["train"].of_classes(list(range(6)))})
    recipe = MemoryNoise(rates=(1.0,), kind="off-topic", seen=0, classes=f"with-{other}")  # type: ignore[arg-type]
    session = deals(recipe, data)[0][1].sessions[0]
    away = present[modality].of_classes(range(6, 10)).x
    for name in ("images", "texts"):
        cosines = (getattr(session.task.memory, name).x @ away.T).max(1).values
        assert (float(cosines.min()) > 1 - 1e-5) == (name == modality)
    drawn = "a Gaussian fitted to the memory"
    assert session.notes["off_topic_from"] == {modality: "other classes", other: drawn}


def test_what_answers_rest_on_is_looked_at_when_asked() -> None:
    recipe = MemoryNoise(rates=(0.0, 0.4), modality="images", seen=0, evidence=10)
    frame = bench.run(recipe, ["knn:k=3"], dataset(), seeds=1).frame
    clean, noisy = (json.loads(text)["evidence"] for text in frame.sort_values("condition")["details"])
    assert clean["queries"] == noisy["queries"] == 10
    assert noisy["precision"]["image"] < clean["precision"]["image"]


def test_a_memory_of_which_every_item_has_a_wrong_name_answers_no_better_than_chance() -> None:
    recipe = MemoryNoise(rates=(0.0, 1.0), modality="images", seen=0)
    frame = bench.run(recipe, ["protonet", "knn:k=5"], dataset(texts=False, per_class=4), seeds=4).frame
    for method, part in frame.groupby("method_name"):
        by_rate = {json.loads(condition)["rate"]: share for condition, share in accuracy(part).items()}
        assert by_rate[0.0] > 0.95, method
        assert by_rate[1.0] <= 0.1, method
