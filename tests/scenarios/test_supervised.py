"""Training on the very classes that are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

import bench
from bench.scenarios.supervised import Supervised
from bench.utils.errors import BenchError
from tests.scenarios.dealt import accuracy, deals, ids
from tests.toy import dataset


def test_supervised_trains_on_the_very_task_it_answers() -> None:
    ((_, episode),) = deals(Supervised(shots=3), dataset())
    assert episode.training is not None
    assert episode.training.task is episode.sessions[0].task
    assert ids(episode.training.queries) == ids(episode.sessions[0].task.support)
    assert len(episode.training.queries) == 30
    stand_in = deals(Supervised(shots=4, memory="rest"), dataset(images=False))[0][1].sessions[0]
    assert len(stand_in.task.memory.images) == 20
    assert not ids(stand_in.task.memory.images) & ids(stand_in.task.support)


def test_the_condition_says_when_the_rest_of_the_support_stands_in_for_a_memory() -> None:
    stand_in = {"memory": "rest of the support", "shots": 4}
    for data in (dataset(), dataset(images=False)):
        assert list(Supervised(memory="rest").conditions(data)) == [stand_in]
        # Nothing is left beside all six images, and nothing stands in where that is not asked for.
        assert list(Supervised(shots=6, memory="rest").conditions(data)) == [{"shots": 6}]
        assert list(Supervised(shots=None, memory="rest").conditions(data)) == [{"shots": None}]
        assert list(Supervised().conditions(data)) == [{"shots": 4}]
    assert list(Supervised(memory="declared").conditions(dataset())) == [{"shots": 4}]


def test_methods_see_the_labels_of_the_shots_unless_the_rest_is_asked_for() -> None:
    """Of ten classes with six images, four are shots; the rest is read by who retrieves from it."""
    methods = ["zero-shot", "knn:k=1", "protonet"]
    for memory, seen in (("shots", [0, 40, 40]), ("declared", [0, 40, 40]), ("rest", [0, 60, 40])):
        frame = bench.run(Supervised(memory=memory), methods, dataset(), seeds=1).frame.set_index("method")
        assert frame.loc[["zero-shot", "knn(k=1)", "protonet"], "labels_seen"].tolist() == seen, memory


def test_too_many_shots_are_refused_by_the_name_of_the_poorest_class() -> None:
    data = dataset()
    train = data.splits["train"]
    kept = [n for n in range(len(train)) if int(train.labels[n]) not in (2, 4) or n % 6 < int(train.labels[n]) // 2]
    data = replace(data, splits={**data.splits, "train": train.take(kept)})
    with pytest.raises(BenchError, match=r"4 shots are wanted but class 'class 2' has 1 images; ask for at most 1"):
        list(Supervised().conditions(data))


def test_shots_of_far_clusters_answer_rightly_and_under_the_next_class_s_name_wrongly() -> None:
    right = dataset(images=False)
    train = right.splits["train"]
    wrong = replace(right, splits={**right.splits, "train": replace(train, labels=(train.labels + 1) % 10)})
    for data, share in ((right, 1.0), (wrong, 0.0)):
        frame = bench.run(Supervised(), ["protonet", "knn:k=1"], data, seeds=2).frame
        assert set(accuracy(frame).values()) == {share}
