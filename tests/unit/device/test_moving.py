"""Moving an episode: each object once, shared ones stay shared, hashes are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.core.features import Features
from bench.core.memory import Items
from bench.core.task import Episode, Session
from bench.runner.handover import Handover
from tests import toy

META = torch.device("meta")
"""A device without values: what is moved there can be told from what stayed."""


def episode() -> Episode:
    """Return sessions that share all but the images of the memory, which is edited, as ``lifecycle`` does."""
    task = toy.task()
    queries = toy.dataset().splits["test"].of_classes(task.classes)
    edited = replace(task, memory=task.memory.remove(sources=["web-b"]), session=1)
    return Episode(sessions=(Session(task=task, queries=queries), Session(task=edited, queries=queries)))


def tensors(episode: Episode) -> dict[int, torch.Tensor]:
    found = {}
    for session in episode.sessions:
        task = session.task
        for part in (session.queries, task.support, task.prompts, task.memory.images, task.memory.texts):
            found |= {id(part.x): part.x, id(part.labels): part.labels}
    return found


def test_what_sessions_share_they_share_on_the_device_too() -> None:
    dealt = episode()
    moved = dealt.to("meta")
    first, second = moved.sessions
    assert first.queries is second.queries
    assert first.task.prompts is second.task.prompts
    assert first.task.support is second.task.support
    assert first.task.memory.texts is second.task.memory.texts
    assert first.task.memory.images is not second.task.memory.images
    here, there = tensors(dealt), tensors(moved)
    assert all(x.device == META for x in there.values())
    assert sum(x.nbytes for x in there.values()) == sum(x.nbytes for x in here.values())


def test_one_tensor_under_two_names_moves_once() -> None:
    task = toy.task()
    images = Items.of_features(task.support, "support")
    moved = replace(task, memory=task.memory.replace(images=images)).to("meta")
    assert moved.memory.images.x is moved.support.x
    assert moved.memory.images.labels is moved.support.labels


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_what_lies_there_already_is_the_same_object(device: str | torch.device) -> None:
    dealt = episode()
    index = dealt.sessions[0].task.memory.images.index
    assert dealt.to(device) is dealt
    assert dealt.to(device).sessions[0].task.memory.images.index is index


def test_a_device_named_without_its_number_is_the_one_with_it() -> None:
    moved = episode().to("meta:0")
    assert moved.to("meta") is moved


def test_hashes_of_the_content_are_not_made_again_from_the_device() -> None:
    dealt = episode()
    session = dealt.sessions[0]
    fingerprint, digests = session.queries.fingerprint, session.queries.row_digests
    memory = session.task.memory.fingerprint
    moved = dealt.to("meta").sessions[0]
    # There is nothing on this device that could be hashed.
    assert moved.queries.fingerprint == fingerprint
    assert moved.queries.row_digests is digests
    assert moved.task.memory.fingerprint == memory


def test_everything_but_tensors_stays() -> None:
    task = replace(toy.task(), prototype_memory=toy.task().memory, session=3, soft_pruning=True)
    moved = task.to("meta")
    assert (moved.classes, moved.class_names, moved.session, moved.soft_pruning) == (
        task.classes,
        task.class_names,
        3,
        True,
    )
    assert moved.budget is task.budget
    assert moved.prototype_memory is not None
    assert moved.prototype_memory.images.x.device == META
    assert moved.support.ids is task.support.ids
    assert isinstance(moved.support, Features)


def test_sessions_with_the_same_queries_share_their_blocks() -> None:
    first, second = Handover(episode(), 0).blocks
    assert first is second
    assert torch.equal(first.dealt(torch.cat(first.parts)), episode().sessions[0].queries.x)
