"""Removals that change an answer do change it when the memory is edited so, and one of their number fewer does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.explain.explain import Which, explain
from bench.explain.removals import removals
from bench.explain.scene import Scene
from bench.results.run_folder import read_records
from bench.runner.api import run
from tests import toy

METHODS = ["knn:k=5:vote=majority", "knn:k=5", "protonet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    data = toy.dataset(4)
    assert (run("incremental", METHODS, data, 1, out=out, device="cpu")["status"] == "ok").all()
    return next(out.iterdir())


@pytest.fixture(scope="module")
def scene(made: Path) -> Scene:
    records = read_records(made)
    return Scene(made, records[records["session"] == records["session"].max()], data=toy.dataset(4))


def answer(scene: Scene, label: str, query: str, without: tuple[str, ...]) -> int:
    before, after = scene.answers(label, [query], scene.edited(without, {}))[0]
    return (after or before).prediction


@pytest.mark.parametrize("label", ["knn(k=5,vote=majority)", "knn(k=5)"])
def test_what_is_found_is_so_and_no_more_than_certified(scene: Scene, label: str) -> None:
    assert label in scene.labels
    for query in ("test/1", "test/7", "test/12", "test/18"):
        start = answer(scene, label, query, ())
        found = removals(scene, label, query, most=30, seconds=60)
        for item, becomes in found.alone.items():
            assert answer(scene, label, query, (item,)) == becomes != start
        certificate = scene.certificate(label, query, "remove", 64)
        assert not isinstance(certificate, str)
        least = int(certificate.least[0])
        assert bool(found.alone) == (least == 1)
        assert found.together, "more than 30 removals in a memory of 4 classes"
        assert answer(scene, label, query, found.together) == found.becomes != start
        assert answer(scene, label, query, found.together[:-1]) == start
        assert len(found.together) == least
        assert found.fewest


@pytest.mark.parametrize("label", ["knn(k=5,vote=majority)", "knn(k=5)", "protonet"])
def test_the_single_items_that_change_an_answer_are_all_named(scene: Scene, label: str) -> None:
    items = [item for session in scene.episode.sessions for item in session.task.all_images.ids.tolist()]
    for query in ("test/7", "test/12"):
        named = scene.fewest_removals(label, query, 64)
        # Of several items one set is named, which the test above asks for.
        alone = {one[0] for one in named if len(one) == 1}
        start = answer(scene, label, query, ())
        assert alone == {item for item in items if answer(scene, label, query, (item,)) != start}
    assert scene.certifies(label)


def test_a_method_that_retrieves_nothing_loses_its_nearest_images(scene: Scene) -> None:
    found = removals(scene, "protonet", "test/1", most=3, seconds=60)
    assert found.tried == 1 + 3 + 3 or found.becomes is not None
    assert not found.fewest or found.alone
    names, _ = scene.images_of(scene.label_of("test/1"))
    assert set(found.alone) | set(found.together) <= set(names)


def test_after_an_intervention_the_edited_memory_is_asked(scene: Scene) -> None:
    label, query = "knn(k=5)", "test/7"
    whole = removals(scene, label, query, most=30, seconds=60)
    first = whole.together[0]
    rest = removals(scene, label, query, exclude=[first], most=30, seconds=60)
    assert first not in rest.together
    assert answer(scene, label, query, (first, *rest.together)) == rest.becomes


def test_time_that_is_over_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("bench.explain.removals.time.monotonic", lambda: next(clock))
    # A second goes by at each look: the start and two items are asked.
    found = removals(scene, "protonet", "test/1", seconds=3.5)
    assert (found.tried, found.complete, found.together) == (3, False, ())


def test_a_scene_answers_as_the_explanation_does(made: Path, scene: Scene) -> None:
    (case,) = explain(made, "test/7", Which(), exclude=["train/3"], data=toy.dataset(4))
    for one in case.explained:
        ((before, after),) = scene.answers(one.method, ["test/7"], scene.edited(["train/3"], {}))
        assert after is not None
        assert one.after is not None
        assert (before.scores, after.scores) == (one.before.scores, one.after.scores)
        scene.forget(one.method)
        assert scene.answers(one.method, ["test/7"])[0][0].scores == before.scores
