"""Which splits of imported arrays are support, queries and validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data.registry import resolve
from bench.data.splits import choose_roles, held_out, is_split, shots, usual_role
from bench.utils.errors import BenchError
from tests.unit.data.animals import import_arrays, two


@pytest.mark.parametrize(
    ("support", "query", "ends"),
    [
        ("Train", "Test", ("_x", "_y")),
        ("TRAIN", "TEST", ("_features", "_labels")),
        ("training", "test", ("_X", "_y")),
        ("trainval", "queries", ("_x", "_y")),
        ("Train", "dev", ("_x", "_y")),
        ("Shot16", "Testing", ("_x", "_y")),
    ],
)
def test_roles_follow_the_usual_names_in_any_case(
    tmp_path: Path, support: str, query: str, ends: tuple[str, str]
) -> None:
    # The queries come first, in the order of names as well, so that a guess by position would swap them.
    arrays = two(query, support, ends=ends)
    roles = import_arrays(tmp_path, arrays).manifest["roles"]
    assert roles == {"support": [support], "query": [query], "validation": []}
    kept = resolve(tmp_path / "pack").role("query").x.numpy()
    np.testing.assert_array_equal(kept, arrays[query + ends[0]])


@pytest.mark.parametrize("name", ["valid", "VAL", "validation", "Dev", "development"])
def test_validation_is_known_by_its_usual_names(name: str) -> None:
    assert choose_roles(["train", name, "test"], {}) == {"support": ["train"], "query": ["test"], "validation": [name]}


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        (["alpha", "beta"], "no split is support by its name"),
        (["train", "web"], "no split is query by its name"),
        (["test", "web"], "no split is support by its name"),
        (["train", "training", "test"], "are all support by their names"),
        (["train", "test", "query"], "are all query by their names"),
        (["all"], "--hold-out"),
    ],
)
def test_what_the_names_do_not_tell_is_asked_for(splits: list[str], words: str) -> None:
    with pytest.raises(BenchError, match=words) as caught:
        choose_roles(splits, {})
    assert "\n" not in str(caught.value)


def test_given_roles_need_no_usual_names_and_idle_splits_are_said() -> None:
    warnings: list[str] = []
    roles = choose_roles(["a", "b", "c", "shot4"], {"support": ["a"], "query": ["b"]}, warnings)
    assert roles == {"support": ["a"], "query": ["b"], "validation": []}
    assert len(warnings) == 1
    assert "'c' has no role" in warnings[0]
    assert choose_roles(["train", "test", "web"], {"memory": ["web", "train"]}, warnings)["support"] == ["train"]
    assert len(warnings) == 1


def test_of_shots_alone_the_smaller_ones_are_queries_and_it_is_said() -> None:
    warnings: list[str] = []
    roles = choose_roles(["shot1", "shot16", "shot4"], {}, warnings)
    assert roles == {"support": ["shot16"], "query": ["shot1", "shot4"], "validation": []}
    assert len(warnings) == 1
    assert "shot1, shot4 serve" in warnings[0]
    for splits in (["shot1", "shot4", "web"], ["shot4"], ["shot4", "web"]):
        with pytest.raises(BenchError, match="query"):
            choose_roles(splits, {}, warnings)


def test_shots_and_splits_by_name() -> None:
    counts = {"shot1": 1, "SHOT16": 16, "16-shot": 16, "4shots": 4, "shot": None, "shotx": None}
    assert {name: shots(name) for name in counts} == counts
    assert choose_roles(["shot2", "shot16", "shot4", "test"], {})["support"] == ["shot16"]
    words = {"train_set": "support", "Test set": "query", "valset": "validation", "dev-split": "validation"}
    words |= {"train2017": "support", "test-2015": "query", "val_2021": "validation"}
    assert {name: usual_role(name) for name in words} == words
    for name in ("cat", "set", "sunset", "evaluation", "train1066", "test_settings"):
        assert usual_role(name) is None, name
    assert is_split("Memory")
    assert not is_split("tester")


def test_a_cut_leaves_support_of_every_class() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2, 2])
    test = held_out(labels, 0.9, 1)
    assert np.bincount(labels[test], minlength=3).tolist() == [0, 1, 3]
    for broken, share, splits in (
        (np.arange(4), 0.2, 1),
        (labels, 1.0, 1),
        (labels, 0.2, 2),
        (labels, float("nan"), 1),
    ):
        with pytest.raises(BenchError, match="--hold-out"):
            held_out(broken, share, splits)
