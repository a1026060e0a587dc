"""What the column ``selected_on`` says where the data cannot give what settings are to be chosen on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

import bench
from bench.core.dataset import Dataset
from tests import toy

CHOOSE = ("gda", "linear-probe", "ranpac:width=64", "tip-adapter:beta_steps=4", "proker", "transclip", "text-knn")
SPARED, ONE = "no class can spare a labelled image", "a class has one labelled image"
NOTHING_FREE = "no image of the validation split is of these classes and outside the queries, support and memory"


def run(methods: Any = CHOOSE, data: Dataset | None = None, shots: int = 2, **options: Any) -> pd.DataFrame:
    given = {"few-to-many-shot.shots": [shots], "few-to-many-shot.memory": "none"}
    data = toy.dataset() if data is None else data
    settings = {"seeds": 1, "device": "cpu", "calibrate": False, "set": given, **options}
    frame = bench.run("few-to-many-shot", list(methods), data, **settings).frame
    frame["method"] = frame["method"].str.partition("(")[0]
    return frame.set_index("method")


def told(frame: pd.DataFrame) -> dict[str, str]:
    assert set(frame["status"]) == {"ok"}
    return frame["selected_on"].to_dict()


def test_one_image_a_class_chooses_nothing_and_the_record_says_so() -> None:
    frame = run(shots=1)
    names = [name.partition(":")[0] for name in CHOOSE]
    assert told(frame) == {name: f"none: {ONE if name == 'linear-probe' else SPARED}" for name in names}
    assert set(frame["configurations"]) == {1}
    stated = {name: json.loads(details) for name, details in frame["details"].items()}
    assert stated["linear-probe"]["c"] == 10
    assert stated["gda"]["alpha"] == 0.1
    assert stated["ranpac"]["penalty"] == 1
    assert (stated["tip-adapter"]["alpha"], stated["tip-adapter"]["beta"]) == (1.17, 1)


def test_where_all_is_set_nothing_is_missing() -> None:
    methods = ("linear-probe:c=1", "gda:alpha=1", "tip-adapter:alpha=1:beta=1", "proker:beta=1:penalty=1", "knn")
    assert set(told(run(methods, shots=1)).values()) == {"none"}


def test_both_reasons_stand_where_neither_a_split_nor_the_support_can_choose() -> None:
    data = toy.dataset()
    bare = replace(data, roles={role: names for role, names in data.roles.items() if role != "validation"})
    with pytest.warns(RuntimeWarning, match="toy has no validation split"):
        said = told(run(("gda", "protonet"), bare, shots=1, selection="validation-split"))
    assert said == {"gda": f"none: data set toy has no validation split; {SPARED}", "protonet": "none"}


def test_a_split_without_a_free_image_leaves_the_choice_to_the_support() -> None:
    data = toy.dataset()
    asked = replace(data, roles={**data.roles, "validation": data.roles["query"]})
    frame = run(("gda", "linear-probe"), asked, selection="validation-split")
    assert told(frame) == dict.fromkeys(("gda", "linear-probe"), f"support: {NOTHING_FREE}")
    plain = run(("gda", "linear-probe"), asked)
    for column in ("n_correct", "configurations", "labels_seen"):
        assert frame[column].to_dict() == plain[column].to_dict()


def test_who_chooses_on_the_split_alone_or_never_says_so() -> None:
    methods = ("lp++:epochs=20", "text-knn")
    assert told(run(methods)) == {"lp++": "none: the run gives no validation split", "text-knn": "support"}
    assert told(run(methods, selection="validation-split")) == {"lp++": "validation-split", "text-knn": "support"}


def test_a_block_that_no_image_can_judge_is_not_trained_and_says_why() -> None:
    details = json.loads(run(("mml",), toy.dataset(4), shots=1)["details"].iloc[0])
    assert (details["trained_on"], details["chosen_on"]) == ("no", f"nothing: {SPARED}")


def test_epochs_and_image_weights_count_as_configurations() -> None:
    """The untrained start, three epochs, and twelve image weights at the first and the last of them."""
    few = "epochs=3:patience=3"
    methods = [f"mml:{few}:lr=1e-3", f"mml:{few}:image_weight=auto", "mml:image_weight=auto:epochs=0", f"reco:{few}"]
    settings: dict[str, Any] = {"seeds": 1, "device": "cpu", "calibrate": False}
    frame = bench.run("web-zero-shot", [*methods, "mml-prototypes", "knn"], toy.dataset(), **settings).frame
    assert set(frame["status"]) == {"ok"}
    tried = {"mml": [4, 12, 12 + 3 + 11], "reco": [4], "mml-prototypes": [1], "knn": [1]}
    for name, of_it in frame.groupby(frame["method"].str.partition("(")[0]):
        assert sorted(of_it["configurations"]) == tried[name]
        assert set(of_it["selected_on"]) == {"none" if tried[name] == [1] else "validation-classes"}


def test_validation_classes_are_no_makeshift_for_a_split_that_is_missing() -> None:
    data = toy.dataset()
    bare = replace(data, roles={role: names for role, names in data.roles.items() if role != "validation"})
    settings: dict[str, Any] = {"seeds": 1, "device": "cpu", "calibrate": False, "selection": "validation-split"}
    with pytest.warns(RuntimeWarning, match="toy has no validation split"):
        frame = bench.run("web-zero-shot", ["mml:epochs=2"], bare, **settings).frame
    assert frame["selected_on"].tolist() == ["validation-classes"]


def test_epochs_that_held_out_images_chose_count_too() -> None:
    frame = run(("mml:adapt_epochs=3:patience=3",), shots=4)
    assert frame["configurations"].tolist() == [4]
    assert frame["selected_on"].tolist() == ["support"]
