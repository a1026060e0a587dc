"""Figures that hold what they name: legends, titles, and what is not drawn."""

import json

import pytest

from bench.reports.build import build
from bench.reports.style import canvas, condition_text, legend, title
from tests.statistics.runs import make_run


@pytest.mark.parametrize(("methods", "below"), [(3, False), (14, True)])
def test_many_lines_are_named_below_the_axes(methods, below):
    with canvas() as (figure, (axes,)):
        for i in range(methods):
            axes.plot([0, 1], [i, i], label=f"method-{i}")
        before = figure.get_figheight()
        legend(figure, axes)
        figure.draw_without_rendering()
        (named,) = figure.legends if below else [axes.get_legend()]
        assert [text.get_text() for text in named.get_texts()] == [f"method-{i}" for i in range(methods)]
        assert (figure.get_figheight() > before) == below
        box = named.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert (box.y1 <= axes.get_window_extent().y0) == below


def test_a_title_fits_its_figure():
    long = json.dumps({f"parameter {i}": i for i in range(9)})
    assert title("d", long, 4) != f"d: {condition_text(long)}"
    for width in (4, 6.4):
        with canvas(width) as (figure, _):
            figure.suptitle(title("d", long, width), x=0.02, ha="left", fontsize=10.5)
            figure.draw_without_rendering()
            (drawn,) = figure.texts
            assert drawn.get_window_extent().x1 <= figure.bbox.x1


def test_a_value_of_a_sweep_that_is_no_number_is_said(tmp_path):
    conditions = tuple({"items": size} for size in (1, 4, "all"))
    make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, conditions=conditions)
    build([tmp_path / "r"], tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    assert "Not drawn, since it is no number: items all." in text
    assert "items of memory a class and modality" in next((tmp_path / "out" / "figures").glob("*sweep.svg")).read_text()
