"""Figures that hold what they name: legends, titles, and what is not drawn."""

import json
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.colors import to_rgba
from matplotlib.text import Text

from bench.reports.figures import style
from bench.reports.figures.style import LONGEST_NAME, canvas, heatmap, legend, lines, plot_styles, render, title
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


@pytest.mark.parametrize(("methods", "letters"), [(8, 5), (3, 60)])
def test_names_below_the_axes_take_the_place_of_seaborns_and_leave_the_axes_their_room(methods, letters):
    data = pd.DataFrame({"method": [f"{i}-{'x' * letters}" for i in range(methods)], "x": 1.0, "y": 2.0})
    with canvas() as (figure, (axes,)):
        sns.scatterplot(data, x="x", y="y", hue="method", ax=axes)
        assert axes.get_legend() is not None
        legend(figure, axes)
        figure.draw_without_rendering()
        assert axes.get_legend() is None
        (named,) = figure.legends
        assert max(len(text.get_text()) for text in named.get_texts()) <= LONGEST_NAME
        assert named.get_window_extent().y1 <= axes.get_window_extent().y0
        assert axes.get_position().width > 0.8
        assert axes.get_position().height > 0.6


def test_a_title_fits_its_figure():
    long = json.dumps({f"parameter {i}": i for i in range(9)})
    assert title("d", long, 4) != f"d: {condition_text(long)}"
    for width in (4, 6.4):
        with canvas(width) as (figure, _):
            figure.suptitle(title("d", long, width), x=0.02, ha="left", fontsize=10.5)
            figure.draw_without_rendering()
            (drawn,) = figure.texts
            assert drawn.get_window_extent().x1 <= figure.bbox.x1


def drawn():
    with canvas() as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], label="knn")
        axes.set_title("one")
    return render(figure, name="n", title="t", caption="c", data=pd.DataFrame())


def test_files_are_made_when_they_are_asked_for_and_are_the_same_bytes():
    one, other = drawn(), drawn()
    assert not one.files
    # In whatever order they are made.
    files = {kind: one.file(kind) for kind in ("pdf", "svg", "png")}
    assert {kind: other.file(kind) for kind in ("png", "svg", "pdf")} == files
    for kind, start in (("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")):
        assert files[kind].startswith(start)
    assert b"CreationDate" not in files["pdf"]


def test_a_finished_figure_has_what_was_asked_for_and_nothing_to_draw():
    done = drawn().finished(["pdf"])
    assert set(done.files) == {"svg", "pdf"}
    assert done.drawing is None
    with pytest.raises(KeyError):
        done.png  # noqa: B018


def test_lines_run_in_the_order_of_their_numbers_and_look_as_their_method():
    data = pd.DataFrame({"method": ["b", "a", "b", "a"], "x": [2, 2, 1, 1], "y": [4, 3, 2, 1]})
    styles = plot_styles(["a", "b"])
    with canvas() as (_, (axes,)):
        lines(axes, data, "x", "y", styles)
        for line, method, y in zip(axes.lines, "ab", ([1, 3], [2, 4]), strict=True):
            assert line.get_label() == method
            assert line.get_xdata().tolist() == [1, 2]
            assert line.get_ydata().tolist() == y
            assert (line.get_color(), line.get_marker()) == (styles[method].colour, styles[method].marker)
            assert line.is_dashed() == bool(styles[method].dash)


def test_squares_say_their_value_in_ink_that_is_read_on_them():
    data = pd.DataFrame([[0.0, 50.0], [np.nan, 100.0]], index=["up", "down"], columns=["l", "r"])
    with canvas() as (figure, (axes,)):
        heatmap(axes, data, cmap="Blues", low=0, high=100, label="%", numbers=True)
        figure.draw_without_rendering()
        said = {text.get_text(): text for text in axes.texts}
        assert list(said) == ["0.0", "50.0", "100.0"]
        assert said["0.0"].get_position() == (0.5, 0.5)
        assert said["100.0"].get_position() == (1.5, 1.5)
        assert to_rgba(said["100.0"].get_color()) == to_rgba("white")
        assert sum(to_rgba(said["0.0"].get_color())[:3]) < 1
        assert [text.get_text() for text in axes.get_yticklabels()] == ["up", "down"]
        assert axes.yaxis_inverted()


def test_measuring_a_text_once_gives_the_same_files_in_fewer_steps(monkeypatch):
    measured = []
    measure = Text._get_layout
    monkeypatch.setattr(Text, "_get_layout", lambda text, drawer: measured.append(text) or measure(text, drawer))

    def files():
        measured.clear()
        with canvas() as (drawing, (axes,)):
            axes.plot([0, 1], [2, 30], label="one")
            axes.set_xticks([0, 1], ["a long name", "two\nlines"], rotation=60)
            axes.set_xlabel("what")
            legend(drawing, axes)
        made = render(drawing, name="n", title="t", caption="c", data=pd.DataFrame())
        return made.svg, made.png, len(measured), drawing

    svg, png, few, drawing = files()
    assert not [text for text in drawing.findobj(Text) if "_get_layout" in vars(text)]
    monkeypatch.setattr(style, "_measured_once", lambda figure: nullcontext())
    assert files()[:2] == (svg, png)
    assert few < files()[2] / 2
