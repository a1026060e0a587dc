"""Few to many shots, and few-shot episodes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

import bench
from bench.core.dataset import Dataset
from bench.scenarios.few_to_many_shot import FewToManyShot
from bench.utils.errors import BenchError
from tests.scenarios.dealt import deals
from tests.toy import dataset


@pytest.mark.parametrize("way", [None, 4])
def test_k_shots_are_a_prefix_of_k_plus_1(way: int | None) -> None:
    data = dataset()
    dealt = deals(FewToManyShot(shots=(1, 2, 3, 6), way=way, episodes=3, queries=2), data)
    for (small, fewer), (large, more) in itertools.pairwise(dealt):
        for a, b in zip(fewer.sessions, more.sessions, strict=True):
            for c in a.task.classes:
                one, two = a.task.support.of_classes([c]).ids.tolist(), b.task.support.of_classes([c]).ids.tolist()
                assert (len(one), len(two)) == (small["shots"], large["shots"])
                assert two[: len(one)] == one


def test_a_shot_count_that_a_class_cannot_give_is_refused_by_its_name_or_skips_it() -> None:
    data = poor()
    with pytest.raises(BenchError, match=r"3 shots are wanted but class 'class 4' has 2 images \(1 such"):
        deals(FewToManyShot(shots=(1, 3)), data)
    for _, episode in deals(FewToManyShot(shots=(1, 3), scarce="skip"), data):
        assert 4 not in episode.sessions[0].task.classes
        assert 4 not in episode.sessions[0].queries.labels.tolist()
        assert episode.sessions[0].notes["classes_skipped"] == ["class 4"]


def test_episodes_have_their_ways_shots_and_queries_and_carry_nothing() -> None:
    recipe = FewToManyShot(shots=(2,), way=3, episodes=5, queries=4)
    (_, episode), *_ = deals(recipe, dataset())
    assert len(episode.sessions) == 5
    assert len({s.task.classes for s in episode.sessions}) > 1
    for s in episode.sessions:
        assert (s.task.n_classes, len(s.task.support), len(s.queries)) == (3, 6, 12)
    frame = bench.run(recipe, ["knn", "protonet"], dataset(images=False), seeds=1).frame
    ok = frame[frame["status"] == "ok"]
    assert set(ok["session_kind"]) == {"built"}
    # Tight clusters far apart: every episode is answered, which old episodes' classes in the state would prevent.
    assert float(ok[ok["method"] == "protonet"]["n_correct"].mean()) > 11
    with pytest.raises(BenchError, match="way=11"):
        deals(FewToManyShot(shots=(1,), way=11), dataset())


def poor(images: int = 2) -> Dataset:
    """Return data whose class 4 has two support images and all others six."""
    data = dataset()
    train = data.splits["train"]
    few = train.take([n for n in range(len(train)) if int(train.labels[n]) != 4 or n % 6 < images])
    return replace(data, splits={**data.splits, "train": few})


def test_what_a_class_cannot_give_is_refused_before_anything_is_dealt() -> None:
    with pytest.raises(BenchError, match=r"3 shots are wanted but class 'class 4' has 2 images \(1 such"):
        list(FewToManyShot(shots=(1, 3)).conditions(poor()))
    with pytest.raises(BenchError, match=r"7 shots are wanted but class 'class 0' has 6 images .* 0 can give them"):
        list(FewToManyShot(shots=(1, 7), scarce="skip").conditions(poor()))


def test_shot_counts_are_lowered_to_those_that_every_class_can_give() -> None:
    recipe = FewToManyShot(shots=(1, 2, 4, 8), scarce="lower")
    assert [c["shots"] for c in recipe.conditions(poor())] == [1, 2]
    assert [c["shots"] for c in recipe.conditions(dataset())] == [1, 2, 4]
    split = replace(recipe, seen=0.5, validation=0.2)
    assert [c["shots"] for c in split.conditions(poor())] == [1, 2]
    for condition, episode in deals(recipe, poor()):
        assert episode.sessions[0].task.support.labels.bincount().tolist() == [condition["shots"]] * 10
        assert episode.sessions[0].notes["classes_skipped"] == []
    # A support image that is a query too cannot be dealt.
    data = poor()
    train, test = data.splits["train"], data.splits["test"]
    x = test.x.clone()
    x[20] = train.x[int((train.labels == 4).nonzero()[0])]
    shared = replace(data, splits={**data.splits, "test": replace(test, x=x)})
    assert [c["shots"] for c in recipe.conditions(shared)] == [1]
    with pytest.raises(
        BenchError, match=r"4 shots are wanted but class 'class 4' has 2 images \(1 such classes\); ask"
    ):
        list(replace(recipe, shots=(4, 8)).conditions(poor()))
