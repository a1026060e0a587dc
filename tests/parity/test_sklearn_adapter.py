import dataclasses
import json

import numpy as np
import pytest
import torch
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC

import bench
from bench.core.registry import METHODS
from bench.core.task import Task
from bench.learning.state_io import load, save
from bench.runner.recipes import choose_recipes
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import few_shot, make, queries, scores


@pytest.mark.parametrize(
    ("path", "options", "reference"),
    [
        ("sklearn.svm.LinearSVC", {"C": 0.5, "random_state": 0}, LinearSVC(C=0.5, random_state=0)),
        ("sklearn.svm.SVC", {"C": 2.0}, SVC(C=2.0)),
        ("sklearn.neighbors.KNeighborsClassifier", {"n_neighbors": 3}, KNeighborsClassifier(3)),
        ("sklearn.naive_bayes.GaussianNB", {}, GaussianNB()),
    ],
)
def test_answers_are_those_of_the_estimator(path: str, options: dict[str, object], reference: object) -> None:
    task = few_shot()
    x = task.support.x / task.support.x.norm(dim=1, keepdim=True)
    reference.fit(x.numpy(), task.columns(task.support.labels).numpy())  # type: ignore[attr-defined]
    asked = queries() / queries().norm(dim=1, keepdim=True)
    found = scores("sklearn", task, queries(), estimator=path, options=options)
    assert found.argmax(1).tolist() == reference.predict(asked.numpy()).tolist()  # type: ignore[attr-defined]


def test_two_classes_have_two_columns() -> None:
    found = scores("sklearn", few_shot((9, 4)), queries(), estimator="sklearn.svm.LinearSVC")
    assert torch.equal(found[:, 0], -found[:, 1])


def test_a_class_without_images_keeps_its_column() -> None:
    task = few_shot()
    task = dataclasses.replace(task, support=task.support.take(task.support.labels != 7))
    found = scores("sklearn", task, queries(), estimator="sklearn.svm.LinearSVC")
    assert torch.isinf(found[:, 0]).all()
    assert torch.isfinite(found[:, 1:]).all()


def test_a_saved_state_fits_itself_again(tmp_path: object) -> None:
    method = make("sklearn", estimator="sklearn.ensemble.RandomForestClassifier", options={"n_estimators": 5})
    state = method.build(few_shot(), rng=Stream(3))
    save(state, tmp_path / "state.safetensors")  # type: ignore[operator]
    again = load(tmp_path / "state.safetensors")  # type: ignore[operator]
    assert torch.equal(method.score(again, queries()), method.score(state, queries()))


def test_can_be_named_on_the_command_line() -> None:
    _, (named,) = choose_recipes(["incremental"], ["sklearn:sklearn.svm.LinearSVC:C=0.5:fit_intercept=false"], {})
    assert named.recipe.estimator == "sklearn.svm.LinearSVC"
    # "false" on the command line is false, and not a string that counts as true.
    assert named.recipe.options == {"C": 0.5, "fit_intercept": False}
    assert "sklearn.svm.LinearSVC" in named.label


def test_runs_among_other_methods() -> None:
    methods = ["protonet", "sklearn:sklearn.svm.LinearSVC", "sklearn:sklearn.naive_bayes.GaussianNB:var_smoothing=0.01"]
    frame = bench.run("incremental", methods, toy.dataset(), seeds=1).frame
    assert (frame["status"] == "ok").all()
    assert frame["method"].nunique() == 3
    details = [json.loads(d) for d in frame[frame["method"].str.contains("GaussianNB")]["details"]]
    assert {d["option_var_smoothing"] for d in details} == {"0.01"}


@pytest.mark.parametrize(
    ("estimator", "options", "says"),
    [
        ("sklearn.svm.LinearSCV", {}, "cannot import"),
        ("nowhere", {}, "cannot import"),
        ("sklearn.metrics.accuracy_score", {}, "is no classifier"),
        ("sklearn.svm.LinearSVC", {"c": 1.0}, "no parameter 'c'"),
        ("sklearn.svm.LinearSVC", {"C": -1.0}, "cannot be fitted"),
    ],
)
def test_a_mistake_is_one_clear_line(estimator: str, options: dict[str, float], says: str) -> None:
    method = METHODS.get("sklearn").cls(estimator=estimator, options=options)
    with pytest.raises(BenchError, match=says) as error:
        method.build(few_shot(), rng=Stream(0))
    assert "\n" not in str(error.value)


def one_shot() -> Task:
    task = few_shot()
    return dataclasses.replace(task, support=task.support.take([0, 6, 12]))


def test_one_image_a_class_is_answered_without_a_decision_function() -> None:
    task = one_shot()
    found = scores("sklearn", task, task.support.x, estimator="sklearn.neighbors.NearestCentroid")
    assert torch.equal(found.argmax(1), task.columns(task.support.labels))


@pytest.mark.parametrize(
    ("estimator", "options", "says"),
    [
        ("sklearn.neighbors.KNeighborsClassifier", {"n_neighbors": 4}, "cannot answer: Expected n_neighbors"),
        ("sklearn.discriminant_analysis.LinearDiscriminantAnalysis", {}, "cannot be fitted to these images"),
    ],
)
def test_too_few_images_are_a_reason_to_skip_it(estimator: str, options: dict[str, int], says: str) -> None:
    with pytest.raises(Unsuitable, match=says) as reason:
        scores("sklearn", one_shot(), queries(), estimator=estimator, options=options)
    assert "\n" not in str(reason.value)


def test_what_predicts_no_class_is_refused() -> None:
    with pytest.raises(BenchError, match="no class"):
        scores("sklearn", few_shot(), queries(), estimator="sklearn.linear_model.LinearRegression")


def test_the_seed_reaches_the_estimator() -> None:
    method = make("sklearn", estimator="sklearn.linear_model.SGDClassifier")
    states = [method.build(few_shot(), rng=Stream(seed)).options["random_state"] for seed in (0, 0, 1)]
    assert states[0] == states[1] != states[2]
    assert np.isfinite(states).all()
