"""Figures that hold what they name: legends, titles, and what is not drawn."""

import json

import pytest

from bench.reports.figures.style import canvas, legend, title
from bench.reports.utils.text import condition_text


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
