"""Neighbour galleries: which queries they show, and that what is drawn is what was computed."""

import re
from itertools import combinations

import pandas as pd
import pytest
from matplotlib.text import Text

from bench.explain.explain import Which, explain
from bench.reports.figures.neighbour_galleries import choose, galleries
from bench.reports.figures.style import render as finished
from bench.reports.records.paired_predictions import groups
from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from bench.runner.api import run
from tests import toy
from tests.statistics.runs import make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    methods = ["knn:k=1", "knn:k=25", "protonet"]
    run("incremental", methods, "digits", 1, set={"incremental.increment": 5}, out=out, device="cpu")
    return next(out.iterdir())


def test_queries_are_those_that_one_of_two_answers_rightly(tmp_path):
    (group,) = groups(read_runs([make_run(tmp_path / "r", {"a": 0.5, "b": 0.6})]))
    seed, queries = choose(group, "a", "b", 6)
    one, two = group.predictions["a"][seed], group.predictions["b"][seed]
    right = dict(zip(one.queries, zip(one.correct, two.correct, strict=True), strict=True))
    assert len(set(queries)) == 6
    # Alternately those that only a, and those that only b, answers rightly.
    assert [bool(right[q][0]) for q in queries] == [True, False] * 3
    assert all(right[q][0] != right[q][1] for q in queries)
    assert choose(group, "a", "b", 6) == (seed, queries)
    assert choose(group, "a", "b", 2)[1] == queries[:2]


def test_of_episodes_the_first_is_shown(tmp_path):
    (group,) = groups(read_runs([make_run(tmp_path / "r", {"a": 0.5, "b": 0.6}, episodes=True)]))
    seed, queries = choose(group, "a", "b", 4)
    one = group.predictions["a"][seed]
    assert set(queries) <= set(one.queries[one.episode == 0])


def test_a_gallery_shows_what_explain_says(made):
    run_table = read_runs([made])
    (group,) = groups(run_table)
    figures = list(galleries(run_table, [group], 2))
    assert [figure.name.rsplit("-", 1)[-1] for figure in figures] == ["gallery", "gallery"]
    for figure in figures:
        assert figure.png.startswith(b"\x89PNG")
        query = figure.data["query"].iloc[0]
        assert figure.data.groupby("method")["right"].first().sum() == 1
        (case,) = explain(made, query, Which(methods=tuple(figure.data["method"].unique())))
        for explained in case.explained:
            rows = figure.data.query("method == @explained.method and kind == 'neighbour'")
            near = explained.before.evidence.neighbours
            assert rows["item"].tolist() == [n.item for n in near]
            assert rows["weight"].tolist() == pytest.approx([n.weight for n in near])
            assert rows["rank"].tolist() == list(range(1, len(near) + 1))
        # Images of digits are drawn: embedded, one a shown neighbour and one a method for the query.
        shown = figure.data.query("kind == 'neighbour' and rank <= 8")
        assert figure.svg.count(b"<image ") >= len(shown)
    assert [p.svg for p in galleries(run_table, [group], 2)] == [p.svg for p in figures]


def test_tiles_are_as_wide_where_a_method_has_prototypes_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.reports.figures.neighbour_galleries.short", lambda name: name.center(24, "x"))
    methods = ["knn:k=25", "protonet"]
    run("incremental", methods, "digits", 1, set={"incremental.increment": 5}, out=tmp_path, device="cpu")
    run_table = read_runs([tmp_path])
    (figure,) = galleries(run_table, list(groups(run_table)), 1)
    assert b"prototypes: " in figure.svg
    # Every image is a query or a neighbour; a line of text must not push the neighbours to the edge.
    tiles = re.findall(rb"<image [^>]*?width=\"([0-9.]+)\"", figure.svg)
    assert len(tiles) > 8
    assert all(float(width) > 50 for width in tiles)


def test_words_of_long_names_cover_no_others(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("bench.reports.figures.neighbour_galleries.short", lambda name: f"latin small…{name} below")
    monkeypatch.setattr(
        "bench.reports.figures.neighbour_galleries.render",
        lambda figure, **facts: drawn.append(figure) or finished(figure, **facts),
    )
    methods = ["knn:k=25", "knn:k=1"]
    run("incremental", methods, "digits", 1, set={"incremental.increment": 5}, out=tmp_path, device="cpu")
    run_table = read_runs([tmp_path])
    list(galleries(run_table, list(groups(run_table)), 1))
    (canvas,) = drawn
    canvas.draw_without_rendering()
    texts = [text for text in canvas.findobj(Text) if text.get_text() and text.get_visible()]
    assert any(text.get_text().startswith("wrong") for text in texts)
    boxes = [text.get_window_extent() for text in texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_the_report_has_galleries_on_request_only(made, tmp_path):
    build([made], tmp_path / "without")
    assert not list((tmp_path / "without" / "figures").glob("*gallery*"))
    build([made], tmp_path / "with", galleries=1)
    (found,) = (tmp_path / "with" / "figures").glob("*gallery.csv")
    assert len(pd.read_csv(found))
    page = (tmp_path / "with" / "report.html").read_text()
    assert "What answers rest on" in page


def test_no_gallery_is_said(tmp_path):
    run_table = read_runs([make_run(tmp_path / "r", {"a": 0.5, "b": 0.6})])
    (note,) = galleries(run_table, list(groups(run_table)), 2)
    assert "it takes two methods of one run that can say what they answer from" in note.text


def test_other_features_than_the_runs_are_said(tmp_path):
    data = toy.dataset()
    run("incremental", ["knn:k=1", "knn:k=9"], data, 1, set={"incremental.increment": 5}, out=tmp_path, device="cpu")
    run_table = read_runs([tmp_path])
    (note,) = galleries(run_table, list(groups(run_table)), 1)
    assert "toy" in note.text
