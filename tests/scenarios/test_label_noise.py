"""Wrong training labels."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import bench
from bench.scenarios.label_noise import LabelNoise
from bench.utils.errors import BenchError
from tests.scenarios.dealt import accuracy, deals, ids
from tests.toy import dataset


def test_labels_without_information_leave_chance_and_clean_ones_do_not() -> None:
    data = dataset(images=False, per_class=40)
    frame = bench.run(LabelNoise(rates=(0.0, 1.0), kind="uniform"), ["protonet", "knn"], data, seeds=8).frame
    shares = accuracy(frame[frame["method"] == "protonet"])
    clean, chance = (next(v for c, v in shares.items() if json.loads(c)["rate"] == r) for r in (0.0, 1.0))
    assert clean > 0.95
    assert abs(chance - 0.1) < 0.1


def test_pair_flips_of_all_labels_turn_every_right_answer_into_the_next_class() -> None:
    data = dataset(images=False)
    frame = bench.run(LabelNoise(rates=(0.0, 1.0), kind="pair-flip"), ["protonet"], data, seeds=1).frame
    assert sorted(accuracy(frame).values()) == [0.0, 1.0]


def test_label_noise_keeps_what_was_changed_and_leaves_queries_and_memory_alone() -> None:
    data = dataset()
    clean, noisy = (episode.sessions[0] for _, episode in deals(LabelNoise(rates=(0.0, 0.5)), data))
    assert noisy.notes["labels_changed"] == 30
    truth = dict(zip(data.splits["train"].ids.tolist(), data.splits["train"].labels.tolist(), strict=True))
    found = dict(zip(noisy.task.support.ids.tolist(), noisy.task.support.labels.tolist(), strict=True))
    differ = sorted(name for name in truth if truth[name] != found[name])
    assert sorted(name for name, _, _ in noisy.notes["changed"]) == differ
    for name, old, new in noisy.notes["changed"]:
        assert (old, new) == (f"class {truth[name]}", f"class {found[name]}")
    assert noisy.task.memory.fingerprint == clean.task.memory.fingerprint == data.memory.fingerprint
    assert noisy.queries.labels.equal(clean.queries.labels)


def test_held_out_memory_is_clean_and_disjoint_from_the_noisy_support() -> None:
    data = dataset(images=False)
    session = deals(LabelNoise(rates=(1.0,), memory="held-out"), data)[0][1].sessions[0]
    held = session.task.memory.images
    assert ids(held) | ids(session.task.support) == ids(data.splits["train"])
    assert not ids(held) & ids(session.task.support)
    truth = dict(zip(data.splits["train"].ids.tolist(), data.splits["train"].labels.tolist(), strict=True))
    assert all(truth[name] == label for name, label in zip(held.ids.tolist(), held.labels.tolist(), strict=True))
    assert len(held) == 30


def test_users_can_give_confusable_classes_a_matrix_and_recorded_labels() -> None:
    data = dataset(3)
    asymmetric = LabelNoise(
        rates=(1.0,),
        kind="asymmetric",
        confusable={"class 0": "class 2", "class 1": "class 2", "class 2": "class 0"},
    )
    labels = deals(asymmetric, data)[0][1].sessions[0].task.support.labels
    assert labels.tolist() == [2] * 12 + [0] * 6
    given = LabelNoise(rates=(1.0,), kind="transition", transition=((0, 1, 0), (0, 1, 0), (0, 1, 0)))
    assert set(deals(given, data)[0][1].sessions[0].task.support.labels.tolist()) == {1}
    recorded = LabelNoise(rates=(1.0,), kind="recorded", recorded={"train/0": "class 1", "train/6": "class 1"})
    assert deals(recorded, data)[0][1].sessions[0].notes["changed"] == [["train/0", "class 0", "class 1"]]
    for wrong in (replace(recorded, recorded={"train/0": "clas 1"}), replace(asymmetric, confusable={"x": "class 1"})):
        with pytest.raises(BenchError, match="is no class of data set toy"):
            deals(wrong, data)


def test_a_rate_above_1_is_refused_before_anything_is_dealt() -> None:
    with pytest.raises(BenchError, match="outside 0 to 1"):
        list(LabelNoise(rates=(0.1, 1.2)).conditions(dataset()))


def test_symmetric_noise_of_all_labels_tells_nothing_of_the_right_class() -> None:
    """With every label another class's, no answer is better than chance; which of the others it is, is uniform."""
    data = dataset(images=False, per_class=40)
    for seed in range(3):
        ((_, episode),) = deals(LabelNoise(rates=(1.0,)), data, seed)
        right = data.splits["train"].labels
        noisy = episode.sessions[0].task.support.labels
        assert not (noisy == right).any()
        assert int(((noisy - right) % 10).bincount(minlength=10)[1:].min()) > 20  # 400 / 9 = 44, deviation 6.3
    frame = bench.run(LabelNoise(rates=(1.0,)), ["protonet", "knn"], data, seeds=4).frame
    assert all(share <= 0.1 for share in (frame["n_correct"] / frame["n_queries"]).groupby(frame["method"]).mean())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (LabelNoise(kind="asymmetric", confusable={"class 0": "clas 1"}), "'clas 1' is no class of data set toy"),
        (LabelNoise(kind="recorded", recorded={"train/0": "clas 1"}), "'clas 1' is no class of data set toy"),
        (LabelNoise(kind="recorded"), "kind=recorded but no label is"),
        (LabelNoise(kind="transition"), "a transition matrix"),
        (LabelNoise(kind="recorded", recorded={"nobody": "class 1"}), "recorded for 'nobody', which is no support"),
    ],
)
def test_what_the_user_got_wrong_is_refused_before_anything_is_dealt(recipe: LabelNoise, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        list(recipe.conditions(dataset()))
