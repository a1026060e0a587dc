"""``bench.Classifier`` in Python: scikit-learn's conventions, answers, edits and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.utils.validation import check_is_fitted

from bench import BenchError, Classifier
from bench.classifier.answers import NONE
from tests import toy
from tests.unit.classifier.clouds import D, clouds


def test_it_keeps_to_scikit_learns_conventions(tmp_path: Path) -> None:
    x, y = clouds()
    made = Classifier("knn:k=3", seed=1)
    with pytest.raises(BenchError, match="call fit"):
        made.predict(x)
    assert made.fit(x, y) is made
    check_is_fitted(made)
    assert made.classes_.tolist() == ["a", "b", "c", "d"]
    assert made.n_features_in_ == D
    p = made.predict_proba(x)
    assert p.shape == (40, 4)
    np.testing.assert_allclose(p.sum(1), 1)
    assert made.score(x, y) > 0.9
    assert made.decision_function(x).shape == (40, 4)
    assert cross_val_score(made, x, y, cv=2).mean() > 0.9
    copy = clone(made.set_params(seed=2))
    assert copy.get_params() == made.get_params()
    with pytest.raises(BenchError, match="no setting 'k'"):
        made.set_params(k=3)
    with pytest.raises(BenchError, match="call fit"):
        copy.predict(x)


def test_numbers_as_labels_and_rows_as_lists() -> None:
    x, y = clouds()
    numbers = [ord(label) for label in y]
    made = Classifier("protonet").fit(x.tolist(), numbers)
    assert made.score(x.tolist(), numbers) > 0.9
    assert made.predict(torch.from_numpy(x)).tolist() == made.predict(x).tolist()


def test_a_data_set_gives_its_queries_as_the_measure() -> None:
    data = toy.dataset()
    made = Classifier("gda").fit(data)
    assert made.measured_["queries"][1] == len(data.splits["test"])
    assert made.measured_["held-out images"][1] == 10
    right, total = made.measured_["queries"]
    assert right / total == made.score(data.splits["test"].x, [f"class {c}" for c in data.splits["test"].labels])


def test_answers_name_neighbours_and_none_below_a_confidence() -> None:
    x, y = clouds()
    made = Classifier("knn:k=5", reject=0.5).fit(x, y, ids=[f"item {n}" for n in range(len(x))])
    first = made.answer(x[:1], neighbours=2)[0]
    assert first.label == first.best == "a"
    assert first.neighbours[0].item == "item 0"
    assert len(first.neighbours) == 2
    assert first.classes[0] == ("a", pytest.approx(first.probability))
    sure = made.answer(x[:1], reject=0.9999)[0]
    assert (sure.label, sure.best) == (NONE, "a")
    made.reject_ = 0.9999
    assert made.predict(x[:1]).tolist() == [NONE]
    assert made.explain(x[:1])[0].neighbours[0].item == "item 0"
    assert Classifier("gda").fit(x, y).answer(x[:1])[0].neighbours == ()


def test_edits_are_logged_kept_and_erased(tmp_path: Path) -> None:
    x, y = clouds()
    new, labels = clouds(3, purpose="new", classes="abcde")
    made = Classifier("knn:k=3").fit(x, y, ids=[f"item {n}" for n in range(len(x))])
    made.add(new[-3:], "e", ids=["e0", "e1", "e2"]).add(new[:3], "a", source="web")
    made.remove("item 1", classes="d").forget(["item 2"]).remove(sources="web")
    made.save(tmp_path / "c")
    again = Classifier.load(tmp_path / "c")
    assert [edit["action"] for edit in again.log_] == ["add", "add", "remove", "forget", "remove"]
    assert again.classes_.tolist() == ["a", "b", "c", "e"]
    assert again.predict(new[-3:]).tolist() == ["e"] * 3
    text = (tmp_path / "c" / "classifier.yaml").read_text() + (tmp_path / "c" / "README.md").read_text()
    assert "item 1" in text
    assert "item 2" not in text
    raw = (tmp_path / "c" / again_file(tmp_path / "c")).read_bytes()
    assert "item 3".encode("utf-32-le") in raw
    assert "item 2\0".encode("utf-32-le") not in raw
    assert again.log_[2]["items"] == 11, "ten of class d and one by its name"
    never = Classifier("knn:k=3").fit(
        *(np.concatenate([part[[0, *range(3, 30)]], more[-3:]]) for part, more in ((x, new), (y, labels))),
        ids=["item 0", *(f"item {n}" for n in range(3, 30)), "e0", "e1", "e2"],
    )
    np.testing.assert_array_equal(again.predict_proba(new), never.predict_proba(new))


def again_file(folder: Path) -> str:
    (file,) = folder.glob("*.safetensors")
    return file.name


def test_without_items_it_answers_the_same_and_is_not_edited(tmp_path: Path) -> None:
    x, y = clouds()
    whole, bare = Classifier("protonet").fit(x, y), Classifier("protonet", keep_items=False).fit(x, y)
    whole.save(tmp_path / "whole")
    bare.save(tmp_path / "bare")
    np.testing.assert_array_equal(
        Classifier.load(tmp_path / "whole").predict_proba(x), Classifier.load(tmp_path / "bare").predict_proba(x)
    )
    assert (tmp_path / "bare" / "arrays.safetensors").stat().st_size < (
        tmp_path / "whole" / "arrays.safetensors"
    ).stat().st_size
    with pytest.raises(BenchError, match="without its items"):
        Classifier.load(tmp_path / "bare").remove("item 0")


def test_a_method_trained_on_other_classes_is_kept_with_its_weights(tmp_path: Path) -> None:
    data, other = toy.dataset(name="target"), toy.dataset(name="seen", per_class=8)
    method = Classifier("mml", params={"epochs": 1, "k": 3})
    made = method.fit(data, memory=other, train=other)
    assert made._model_.method.weights is not None  # type: ignore[attr-defined]
    made.save(tmp_path / "c")
    x = data.splits["test"].x
    again = Classifier.load(tmp_path / "c")
    np.testing.assert_allclose(again.predict_proba(x), made.predict_proba(x), atol=1e-6)
    assert any(one.memory == "text" for one in again.answer(x[:1], neighbours=50)[0].neighbours)


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda c, x: c.predict(x[:, :3]), "d = 3 and the classifier was fitted at d = 12"),
        (lambda c, x: c.predict(x[0]), "no table"),
        (lambda c, x: c.predict(x * np.nan), "row 0 holds a NaN"),
        (lambda c, x: c.predict(x * 0), "zero vector"),
        (lambda c, x: c.predict(x.astype(str)), "not real numbers"),
        (lambda c, x: c.predict("a.jpg"), "encoder is not known"),
        (lambda c, x: c.predict([None]), "not real numbers"),
        (lambda c, x: c.remove("item 99"), "no item 'item 99'"),
        (lambda c, x: c.remove(classes="A"), "no class 'A'"),
        (lambda c, x: c.remove(sources="web"), "no source 'web'"),
        (lambda c, x: c.remove(), "nothing to remove"),
        (lambda c, x: c.remove(classes=["a", "b", "c"]), "needs two"),
        (lambda c, x: c.add(x[:1], "a", ids=["item 0"]), "there already"),
        (lambda c, x: c.add(x[:2], ["a"]), "one label for every row"),
        (lambda c, x: c.answer(x, reject=1.5), "no confidence"),
        (lambda c, x: c.explain(x), None),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(do: object, said: str | None) -> None:
    x, y = clouds()
    made = Classifier("knn:k=3").fit(x, y, ids=[f"item {n}" for n in range(len(x))])
    before = made.predict_proba(x)
    if said is None:
        do(made, x)  # type: ignore[operator]
        return
    with pytest.raises(BenchError, match=said) as caught:
        do(made, x)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(made.predict_proba(x), before)


@pytest.mark.parametrize(
    ("settings", "data", "said"),
    [
        ({"method": "nope"}, {}, "unknown method"),
        ({"method": "knn:k=[1,2]"}, {}, "means 2 methods"),
        ({"method": "zero-shot"}, {}, "needs a text for every class"),
        ({"reject": 1.0}, {}, "no confidence"),
        ({"hold_out": 0.7}, {}, "no share"),
        ({"method": "lwf:depth=full"}, {}, "depth=adapter"),
        ({}, {"y": ["a"] * 40}, "at least two are needed"),
        ({}, {"y": None}, "need labels"),
        ({}, {"y": ["a", "b"]}, "one label for every row"),
        ({}, {"ids": ["x"] * 40}, "given twice"),
        ({}, {"texts": "texts.json"}, "none was given"),
        ({}, {"X": "digits", "y": ["a"]}, "leave y out"),
        ({}, {"X": ["a.jpg", "b.jpg"], "y": ["a", "b"]}, "give an encoder"),
    ],
)
def test_a_fit_that_cannot_be_is_refused_in_one_line(settings: dict, data: dict, said: str) -> None:
    x, y = clouds()
    with pytest.raises(BenchError, match=said) as caught:
        Classifier(**settings).fit(**{"X": x, "y": y, **data})
    assert "\n" not in str(caught.value)
