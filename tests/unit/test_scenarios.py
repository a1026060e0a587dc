"""Each scenario on data where the answer is known by thought."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

import bench
from bench.contracts import About
from bench.errors import BenchError
from bench.memory import Items, Memory
from bench.registry import METHODS, SCENARIOS
from bench.streams import Stream
from bench.task import Dataset, Episode, Task
from methods.knn import KNN
from scenarios.few_to_many_shot import FewToManyShot
from scenarios.incremental import Incremental
from scenarios.label_noise import LabelNoise
from scenarios.lifecycle import Lifecycle, misleading
from scenarios.memory_noise import MemoryNoise
from scenarios.memory_size import MemorySize
from scenarios.memory_swap import MemorySwap
from scenarios.supervised import Supervised
from scenarios.web_zero_shot import WebZeroShot
from tests.toy import DIMENSION, dataset, items

ALL = (
    FewToManyShot(shots=(1, 2, 4)),
    FewToManyShot(shots=(1, 2), way=3, episodes=4, queries=2),
    FewToManyShot(shots=(1, 2), seen=0.5, validation=0.2),
    Incremental(),
    LabelNoise(rates=(0.0, 0.4)),
    LabelNoise(memory="held-out", kind="asymmetric"),
    Lifecycle(),
    MemoryNoise(),
    MemoryNoise(kind="off-topic", where=("both", "prototypes", "retrieval"), seen=0),
    MemorySize(),
    MemorySwap(),
    MemorySwap(modality="both", seen=0),
    Supervised(),
    WebZeroShot(),
    WebZeroShot(duplicates=0.9),
)
"""Every scenario, with the ways in which it deals differently."""


def deals(recipe: Any, data: Dataset, seed: int = 0) -> list[tuple[Mapping[str, Any], Episode]]:
    rng = Stream(seed).child("scenario", recipe.name, data.name)
    return [(condition, recipe.deal(data, condition, rng=rng)) for condition in recipe.conditions(data)]


def accuracy(frame: pd.DataFrame) -> dict[Any, float]:
    """Return the share of right answers by condition."""
    return {c: float(g["n_correct"].sum() / g["n_queries"].sum()) for c, g in frame.groupby("condition")}


def ids(parts: Any) -> set[str]:
    return set(parts.ids.tolist())


def memory_ids(memory: Memory) -> set[str]:
    return ids(memory.images) | ids(memory.texts)


# -- what holds for all ----------------------------------------------------------------------------------------------


def test_every_scenario_is_tested_here() -> None:
    assert {recipe.name for recipe in ALL} == set(SCENARIOS.names())


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
@pytest.mark.parametrize("images", [True, False], ids=["declared", "stand-in"])
def test_no_query_is_in_support_memory_training_or_validation(recipe: Any, images: bool) -> None:
    data = dataset(images=images)
    # A query that is a copy of a support image, and one of a memory image, must not be asked.
    test = data.splits["test"]
    x = test.x.clone()
    x[0] = data.splits["train"].x[0]
    if images:
        x[7] = data.memory.images.x[5]
    leaky = replace(data, splits={**data.splits, "test": replace(test, x=x)})
    for _, episode in deals(recipe, leaky):
        for session in episode.sessions:
            asked = set(session.queries.row_digests.tolist())
            held = session.task.memory.images
            used = set(session.task.support.row_digests.tolist())
            if not isinstance(recipe, Incremental):
                used |= set(replace(test, x=held.x, labels=held.labels, ids=held.ids).row_digests.tolist())
            assert asked
            assert not asked & used
            if episode.training is not None:
                assert not asked & set(episode.training.queries.row_digests.tolist())
            if episode.validation is not None:
                assert not asked & set(episode.validation.queries.row_digests.tolist())


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_all_conditions_ask_the_same_queries_and_a_seed_deals_the_same_again(recipe: Any) -> None:
    data = dataset()
    first, again, other = deals(recipe, data), deals(recipe, data), deals(recipe, data, seed=1)
    asked = {tuple(s.queries.fingerprint for s in episode.sessions) for _, episode in first}
    assert len(asked) == 1

    def prints(dealt: list[tuple[Mapping[str, Any], Episode]]) -> list[tuple[str, ...]]:
        return [
            (s.task.support.fingerprint, s.task.memory.fingerprint, s.queries.fingerprint, str(s.task.classes))
            for _, episode in dealt
            for s in episode.sessions
        ]

    assert prints(first) == prints(again)
    assert prints(first) != prints(other) or isinstance(recipe, (MemorySwap, MemoryNoise)) or recipe == Supervised()
    for condition, _ in first:
        json.dumps(condition)


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_notes_say_what_stands_in_for_a_memory(recipe: Any) -> None:
    for _, episode in deals(recipe, dataset(images=False)):
        note = episode.sessions[0].notes.get("memory", "support")
        assert note != "declared"


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_class_splits_are_disjoint(recipe: Any) -> None:
    if not getattr(recipe, "seen", 0):
        pytest.skip("it splits no classes")
    data = dataset()
    for given in (data, replace(data, class_split={"seen": (1, 3, 5), "validation": (0, 2), "unseen": (4, 6, 8)})):
        for _, episode in deals(recipe, given):
            assert episode.training is not None
            assert episode.validation is not None
            parts = [set(s.task.classes) for s in (episode.training, episode.validation, episode.sessions[0])]
            target = {c for s in episode.sessions for c in s.task.classes}
            assert not parts[0] & parts[1]
            assert not parts[0] & target
            assert not parts[1] & target
            if given.class_split:
                assert parts[:2] == [{1, 3, 5}, {0, 2}]
                assert target <= {4, 6, 8}


def test_a_class_in_two_parts_of_a_split_is_refused_by_name() -> None:
    data = replace(dataset(), class_split={"seen": (1, 3, 5), "validation": (0, 2), "unseen": (4, 5, 8)})
    for recipe in (WebZeroShot(), MemorySize(), FewToManyShot(seen=0.5)):
        with pytest.raises(BenchError, match="'class 5' is in two parts"):
            deals(recipe, data)


# -- few to many shots -----------------------------------------------------------------------------------------------


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
    data = dataset()
    train = data.splits["train"]
    poor = train.take([n for n in range(len(train)) if int(train.labels[n]) != 4 or n % 6 < 2])
    data = replace(data, splits={**data.splits, "train": poor})
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
    frame = bench.run(recipe, ["knn", "protonet"], dataset(images=False), seeds=1)
    ok = frame[frame["status"] == "ok"]
    assert set(ok["session_kind"]) == {"built"}
    # Tight clusters far apart: every episode is answered, which old episodes' classes in the state would prevent.
    assert float(ok[ok["method"] == "protonet"]["n_correct"].mean()) > 11
    with pytest.raises(BenchError, match="way=11"):
        deals(FewToManyShot(shots=(1,), way=11), dataset())


# -- incremental -----------------------------------------------------------------------------------------------------


def test_the_last_increment_is_what_is_left() -> None:
    ((condition, episode),) = deals(Incremental(base=4, increment=4), dataset())
    assert [len(s.notes["new_classes"]) for s in episode.sessions] == [4, 4, 2]
    assert condition["sessions"] == 3
    assert sorted(episode.sessions[-1].task.classes) == list(range(10))


def test_statistics_of_far_clusters_forget_nothing_and_a_probe_without_exemplars_forgets_all() -> None:
    """Clusters far apart stay answered; a probe without exemplars knows the classes of its session and no other."""
    recipe = Incremental(base=4, increment=3, exemplars=None)
    frame = bench.run(recipe, ["simplecil"], dataset(images=False), seeds=1)
    assert (frame["n_correct"] == frame["n_queries"]).all()
    assert frame.sort_values("session")["n_queries"].tolist() == [20, 35, 50]
    kept = bench.run(replace(recipe, exemplars=20), ["protonet"], dataset(images=False), seeds=1)
    none = bench.run(replace(recipe, exemplars=0), ["linear-probe"], dataset(images=False), seeds=1)
    assert (kept["n_correct"] == kept["n_queries"]).all()
    last = none[none["session"] == 2].iloc[0]
    right = dict(zip(last["classes"], last["class_correct"], strict=True))
    assert [right[c] for c in last["classes"]] == [0] * 7 + [5] * 3


def test_a_smaller_last_session_is_said_in_the_notes() -> None:
    ((_, episode),) = deals(Incremental(base=4, increment=4), dataset())
    said = [s.notes.get("smaller_session") for s in episode.sessions]
    assert said == [None, None, "2 classes were left for an increment of 4"]
    ((_, even),) = deals(Incremental(base=4, increment=3), dataset())
    assert all("smaller_session" not in s.notes for s in even.sessions)


ITEM = DIMENSION * 4 + 8
"""Bytes of a float32 vector and its int64 label."""


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"exemplars": 21}, [20, 16, 20]),
        ({"exemplars_per_class": 2}, [8, 16, 20]),
        ({"budget_bytes": 24 * ITEM - 1}, [20, 16, 20]),
        ({"budget_bytes": ITEM}, [0, 0, 0]),
        ({"exemplars": None}, [24, 48, 60]),
    ],
)
def test_exemplars_fill_a_budget_in_items_by_class_or_in_bytes(limits: dict[str, int], kept: list[int]) -> None:
    """4, 8 and 10 classes of six images: 21 items are 5, 2 and 2 a class; 24 less a byte are 23, so 5, 2 and 2."""
    recipe = Incremental(base=4, increment=4, **limits)
    frame = bench.run(recipe, ["knn"], dataset(images=False), seeds=1).sort_values("session")
    assert frame["exemplars"].tolist() == kept
    if "budget_bytes" in limits:
        told = [json.loads(text) for text in frame["details"]]
        assert [t["carried_bytes"] for t in told] == [ITEM * n for n in kept]
        assert not any(t["over_budget"] for t in told)


def test_under_a_budget_in_bytes_weights_count_and_statistics_that_exceed_it_are_marked() -> None:
    """SLDA's Gram matrix alone is 8 d^2 bytes; iCaRL's exemplars have to make room for its weights."""
    budget = 8 * DIMENSION**2
    recipe = Incremental(base=4, increment=4, budget_bytes=budget)
    methods = ["slda", "simplecil", "icarl:depth=head", "knn"]
    frame = bench.run(recipe, methods, dataset(images=False, per_class=20), seeds=1)
    over = {
        method: any(json.loads(text)["over_budget"] for text in part["details"])
        for method, part in frame.groupby("method_name")
    }
    assert over == {"slda": True, "simplecil": False, "icarl": False, "knn": False}
    from reports.load import record_warnings

    said = record_warnings(frame, frame[frame["status"] == "skipped"])
    assert "carried more than the budget in bytes, so not compared at equal memory: slda" in said


def test_two_budgets_at_once_are_refused() -> None:
    with pytest.raises(BenchError, match="exclude each other"):
        list(Incremental(exemplars_per_class=2, budget_bytes=1000).conditions(dataset()))


# -- noise -----------------------------------------------------------------------------------------------------------


def test_labels_without_information_leave_chance_and_clean_ones_do_not() -> None:
    data = dataset(images=False, per_class=40)
    frame = bench.run(LabelNoise(rates=(0.0, 1.0), kind="uniform"), ["protonet", "knn"], data, seeds=8)
    shares = accuracy(frame[frame["method"] == "protonet"])
    clean, chance = (next(v for c, v in shares.items() if json.loads(c)["rate"] == r) for r in (0.0, 1.0))
    assert clean > 0.95
    assert abs(chance - 0.1) < 0.1


def test_pair_flips_of_all_labels_turn_every_right_answer_into_the_next_class() -> None:
    data = dataset(images=False)
    frame = bench.run(LabelNoise(rates=(0.0, 1.0), kind="pair-flip"), ["protonet"], data, seeds=1)
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
    for recipe in (LabelNoise(rates=(0.1, 1.2)), MemoryNoise(rates=(-0.1,))):
        with pytest.raises(BenchError, match="outside 0 to 1"):
            list(recipe.conditions(dataset()))


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
    frame = bench.run(recipe, methods, data, seeds=1)
    found = {
        (row.method, json.loads(row.condition)["where"], json.loads(row.condition)["rate"]): row.n_correct
        for row in frame.itertuples()
    }
    for method, spared, hit in (("mml-prototypes", "retrieval", "prototypes"), ("knn", "prototypes", "retrieval")):
        assert found[method, spared, 0.0] == found[method, spared, 0.9]
        assert found[method, hit, 0.9] < 0.5 * found[method, hit, 0.0]


def test_off_topic_items_are_those_of_classes_that_take_no_part() -> None:
    data = dataset()
    texts = data.memory.texts
    data = replace(
        data,
        memory=data.memory.replace(texts=texts.of_classes(range(6))),
        prompts=data.prompts.of_classes(list(range(6))),
    )
    recipe = MemoryNoise(rates=(1.0,), kind="off-topic", modality="images", seen=0, classes="with-texts")
    session = deals(recipe, data)[0][1].sessions[0]
    away = data.memory.images.of_classes(range(6, 10)).x
    assert float((session.task.memory.images.x @ away.T).max(1).values.min()) > 1 - 1e-5
    assert session.notes["off_topic_from"] == "other classes"


# -- supervised, memory size, memory swap ----------------------------------------------------------------------------


def test_supervised_trains_on_the_very_task_it_answers() -> None:
    ((_, episode),) = deals(Supervised(shots=3), dataset())
    assert episode.training is not None
    assert episode.training.task is episode.sessions[0].task
    assert ids(episode.training.queries) == ids(episode.sessions[0].task.support)
    assert len(episode.training.queries) == 30
    stand_in = deals(Supervised(shots=4), dataset(images=False))[0][1].sessions[0]
    assert len(stand_in.task.memory.images) == 20
    assert not ids(stand_in.task.memory.images) & ids(stand_in.task.support)


def test_memory_sizes_are_nested_and_all_is_the_whole_memory() -> None:
    data = dataset()
    dealt = [episode.sessions[0].task for _, episode in deals(MemorySize(sizes=(1, 2, 5, None), seen=0), data)]
    assert [len(t.memory.images) for t in dealt] == [10, 20, 50, 80]
    assert [len(t.memory.texts) for t in dealt] == [10, 20, 30, 30]
    for small, large in itertools.pairwise(dealt):
        assert memory_ids(small.memory) <= memory_ids(large.memory)
    assert dealt[-1].memory.fingerprint == data.memory.fingerprint


def test_swapping_identical_sources_changes_nothing() -> None:
    data = dataset()
    one = data.memory.images.take(np.flatnonzero(data.memory.images.sources == "web-a"))
    twin = Items(one.x, one.labels, np.array([f"twin/{n}" for n in one.ids]), np.full(len(one), "web-b"))
    data = replace(data, memory=data.memory.replace(images=Items.concat([one, twin])))
    frame = bench.run(MemorySwap(seen=0.5), ["knn", "protonet", "mml:epochs=2"], data, seeds=2)
    ok = frame[frame["status"] == "ok"]
    assert len(ok) == 4 * 3 * 2
    spread = ok.groupby(["method", "seed"])["n_correct"].agg(["min", "max"])
    assert (spread["min"] == spread["max"]).all()


def test_swap_uses_declared_sources_and_halves_one_into_two_disjoint_ones() -> None:
    declared = deals(MemorySwap(seen=0), dataset())
    for condition, episode in declared:
        task, notes = episode.sessions[0].task, episode.sessions[0].notes
        assert set(task.memory.images.sources.tolist()) == {notes["sources"]["images"][condition["tested"]]}
        assert not notes["sources"]["images"]["simulated"]
    halves = {c["tested"]: e.sessions[0] for c, e in deals(MemorySwap(seen=0), dataset(images=False))}
    assert not ids(halves["A"].task.memory.images) & ids(halves["B"].task.memory.images)
    assert len(halves["A"].task.memory.images) + len(halves["B"].task.memory.images) == 60
    assert halves["A"].notes["sources"]["images"]["simulated"]
    with pytest.raises(BenchError, match="'class 0' has memory items from one source only"):
        deals(MemorySwap(seen=0), dataset(images=False, per_class=1))


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
        frame = bench.run(WebZeroShot(), ["knn:k=5", "protonet"], given, seeds=1)
        assert set(accuracy(frame).values()) == {share}


# -- lifecycle -------------------------------------------------------------------------------------------------------


def lifecycle(*script: str, data: Dataset | None = None) -> list[Any]:
    return list(deals(Lifecycle(script=script), data or dataset())[0][1].sessions)


def test_a_forgotten_class_is_never_answered_again_and_others_lose_nothing() -> None:
    recipe = Lifecycle(script=("forget-class:class 3",), memory="support")
    # With the nearest item or the nearest mean, to take a class away can only turn an answer to it into another.
    frame = bench.run(recipe, ["knn:k=1", "protonet"], dataset(images=False, texts=False), seeds=1)
    for _, rows in frame.groupby("method"):
        before, after = (dict(zip(r.classes, r.class_correct, strict=True)) for r in rows.itertuples())
        assert before[3] > 0
        assert after[3] == 0
        assert all(after[c] >= before[c] for c in before if c != 3)


def test_forgetting_is_exact_and_removed_items_are_nowhere_in_the_state() -> None:
    recipe = Lifecycle(script=("remove:0.3", "forget-source", "forget-class"))
    frame = bench.run(recipe, ["knn", "protonet", "linear-probe"], dataset(), seeds=1)
    edited = frame[frame["session"] > 0]
    for row in edited.itertuples():
        edit = json.loads(row.details)["edit"]
        assert edit["removed"] == json.loads(row.notes)["items_removed"] > 0
        assert edit["removed_found"] == 0
        if row.session_kind == "forgotten":
            assert edit["max_score_difference"] < 1e-4
        else:
            assert (row.session_kind, edit["max_score_difference"]) == ("rebuilt", None)
    kinds = edited.groupby("method")["session_kind"].unique().map(list).to_dict()
    assert kinds == {"knn": ["forgotten"], "protonet": ["forgotten"], "linear-probe": ["rebuilt"]}


@dataclass(frozen=True, kw_only=True)
class InNameOnly:
    """Says that it forgets and does not."""

    name: ClassVar[str] = "in-name-only"
    about: ClassVar[About] = About(paper="-", equation="-", fidelity="faithful")

    def build(self, task: Task, *, rng: Stream) -> Any:
        return KNN(k=1).build(task, rng=rng)

    def forget(self, state: Any, task: Task, ids: Any) -> Any:
        return state

    def score(self, state: Any, queries: torch.Tensor) -> torch.Tensor:
        return KNN(k=1).score(state, queries)


def test_items_that_were_not_forgotten_are_found_out() -> None:
    frame = bench.run(Lifecycle(script=("forget-class",)), [InNameOnly], dataset(), seeds=1)
    edit = json.loads(frame["details"].iloc[1])["edit"]
    # The votes of one neighbour are one apart; 8 images of the class, and 3 texts that the state never held.
    assert edit["max_score_difference"] >= 0.9
    assert (edit["removed"], edit["removed_found"]) == (11, 8)


def test_a_class_comes_with_its_items_and_a_source_with_those_of_classes_that_have_come() -> None:
    start, with_class, with_source = lifecycle("add-class:class 5+class 2", "add-source:web-b")
    assert start.task.classes == (0, 1, 3, 4, 6, 7, 8, 9)
    assert with_class.task.classes == (0, 1, 3, 4, 6, 7, 8, 9, 5, 2)
    assert set(start.queries.labels.tolist()) == set(start.task.classes)
    assert [len(s.task.memory.images) for s in (start, with_class, with_source)] == [32, 40, 80]
    assert set(with_class.task.memory.images.sources.tolist()) == {"web-a"}
    assert memory_ids(with_source.task.memory) == memory_ids(dataset().memory)
    late = lifecycle("add-source:web-b", "add-class:class 5")[2].task.memory
    assert memory_ids(late) == memory_ids(dataset().memory)


def test_named_items_are_removed_relabelled_ones_stay_and_drawn_classes_differ() -> None:
    first, second = dataset().memory.images.ids[:2].tolist()
    start, removed, noisy = lifecycle(f"remove:{first}+{second}", "relabel:0.5")
    assert memory_ids(start.task.memory) - memory_ids(removed.task.memory) == {first, second}
    assert removed.edit is not None
    assert set(removed.edit.removed) == {first, second}
    assert memory_ids(noisy.task.memory) == memory_ids(removed.task.memory)
    assert int((noisy.task.memory.images.labels != removed.task.memory.images.labels).sum()) == 39
    moved = lifecycle(f"relabel:{first}=class 7")[1].task.memory.images
    assert moved.labels.tolist() == [7, *dataset().memory.images.labels.tolist()[1:]]
    of = [s.notes["of"][0] for s in lifecycle("add-class", "add-class", "forget-class")[1:]]
    assert len(set(of)) == 3


def test_pruning_removes_what_misleads_and_nothing_else() -> None:
    x = torch.eye(4)[[0, 0, 0, 0, 1, 1, 1, 1]] + 0.01 * torch.eye(8)[:, :4]
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    own = Items(x, labels, np.array(list("abcdefgh")), np.full(8, "s"))
    # Item d lies among class 0: it misleads a, b and c, and each of them misleads d. The others see their own kind.
    assert misleading(own, 3).tolist() == [1, 1, 1, 3, 0, 0, 0, 0]
    data = dataset(2)
    given = replace(data, memory=Memory(replace(own, x=torch.nn.functional.pad(x, (0, 12))), data.memory.texts))
    before, after = (s.task.memory for s in deals(Lifecycle(script=("prune:3",), neighbours=3), given)[0][1].sessions)
    assert memory_ids(before) - memory_ids(after) == {"d"}


def test_soft_pruning_removes_nothing_and_the_vote_of_an_item_counts_for_less_the_more_it_misled() -> None:
    """As above: a, b and c misled one other each, d three, the rest none; 1.75 / (1 + count)."""
    x = torch.eye(4)[[0, 0, 0, 0, 1, 1, 1, 1]] + 0.01 * torch.eye(8)[:, :4]
    own = Items(
        torch.nn.functional.pad(x, (0, 12)), torch.tensor([0, 0, 0, 1, 1, 1, 1, 1]), np.array(list("abcdefgh")),
        np.full(8, "s"),
    )  # fmt: skip
    given = replace(dataset(2), memory=Memory(own, dataset(2).memory.texts))
    ((_, episode),) = deals(Lifecycle(script=("prune-soft", "remove:d")), given)
    before, softened, without_d = (s.task for s in episode.sessions)
    assert memory_ids(softened.memory) == memory_ids(before.memory)
    assert episode.sessions[1].edit is not None
    assert episode.sessions[1].edit.removed == ()
    method = METHODS.get("visual-memory").cls(soft_k=3)

    def votes(task: Task) -> dict[str, float]:
        state = method.build(replace(task, support=task.support.take([])), rng=Stream(0))
        return dict(zip(state.items.ids.tolist(), state.weights.tolist(), strict=True))

    assert set(votes(before).values()) == {1.0}
    misled = {"a": 1, "b": 1, "c": 1, "d": 3, "e": 0, "f": 0, "g": 0, "h": 0}
    assert votes(softened) == pytest.approx({name: 1.75 / (1 + count) for name, count in misled.items()})
    # It lasts, and is counted anew: without d a third neighbour of a, b and c is of class 1, the first of its equals.
    expected = dict.fromkeys("abcfgh", 1.75) | {"e": 1.75 / 4}
    assert votes(without_d) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prune-soft:3", "prune-soft stands alone"),
        ("forget-clas", "unknown edit 'forget-clas'; did you mean 'forget-class'"),
        ("remove:nobody", "no item 'nobody'"),
        ("forget-class:class 99", "'class 99' is no class"),
        ("forget-source:nowhere", "no source 'nowhere'"),
        ("add-source:nowhere", "no source 'nowhere'"),
        ("relabel:some", "relabel:some needs a number"),
        ("relabel:nobody=class 1", "no image 'nobody'"),
        ("relabel:web-a/0=class", "'class' is no class"),
        ("remove:1.5", "outside 0 to 1"),
    ],
)
def test_a_wrong_edit_is_refused_in_one_line(line: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        lifecycle(line)


def test_sources_are_simulated_where_there_is_one() -> None:
    data = dataset()
    single = replace(data, memory=data.memory.replace(images=items(data.splits["train"], "web")))
    start, grown = lifecycle("add-source", data=single)
    assert grown.notes["simulated_sources"]
    assert [len(s.task.memory.images) for s in (start, grown)] == [30, 60]
