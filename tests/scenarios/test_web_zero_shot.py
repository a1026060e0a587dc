"""Unseen classes, answered for by the memory alone."""

from __future__ import annotations

from dataclasses import replace

import torch

import bench
from bench.scenarios.web_zero_shot import WebZeroShot
from bench.utils.random import Stream
from tests.scenarios.dealt import accuracy, deals, ids
from tests.toy import dataset


def test_near_duplicates_of_queries_leave_the_memory() -> None:
    data = dataset()
    images = data.memory.images
    x = images.x.clone()
    x[3] = data.splits["test"].x[0] + 1e-3
    data = replace(data, memory=data.memory.replace(images=replace(images, x=x)))
    recipe = WebZeroShot(seen=0.1, validation=0.1, duplicates=0.999)
    split = {"seen": (8, 9), "validation": (6, 7), "unseen": (0, 1, 2)}
    session = deals(recipe, replace(data, class_split=split))[0][1].sessions[0]
    assert session.notes["duplicates_dropped"] == 1
    assert images.ids[3] not in ids(session.task.memory.images)


def test_unseen_classes_are_answered_by_the_memory_alone_and_a_memory_under_wrong_names_answers_wrongly() -> None:
    data = dataset()
    split = {"seen": (8, 9), "validation": (6, 7), "unseen": (0, 1, 2, 3)}
    right = replace(data, class_split=split)
    images = data.memory.images
    turned = replace(images, labels=torch.where(images.labels < 4, (images.labels + 1) % 4, images.labels))
    wrong = replace(right, memory=data.memory.replace(images=turned))
    for given, share in ((right, 1.0), (wrong, 0.0)):
        frame = bench.run(WebZeroShot(), ["knn:k=5", "protonet"], given, seeds=1).frame
        assert set(accuracy(frame).values()) == {share}


def test_images_that_two_data_sets_share_are_asked_and_not_trained_on() -> None:
    target, source = dataset(), dataset(name="other")
    # Both have the same test images, and one query of the target is a support image of the other.
    test = target.splits["test"]
    x = test.x.clone()
    x[0] = source.splits["train"].x[3]
    target = replace(target, splits={**target.splits, "test": replace(test, x=x)})
    recipe = WebZeroShot(train_on="other", train_images=3)
    rng = Stream(0)
    episode = recipe.deal(target, next(recipe.conditions(target)), rng=rng, source=source)
    assert episode.training is not None
    assert episode.validation is not None
    asked, trained, checked = (
        set(session.queries.row_digests.tolist())
        for session in (episode.sessions[0], episode.training, episode.validation)
    )
    assert len(asked) == 50
    assert not asked & trained
    assert not asked & checked
    assert not trained & checked
    assert len(trained) == 30
