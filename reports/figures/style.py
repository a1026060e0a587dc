"""How figures look: colours and marks that survive colour blindness and a black-and-white printer, and their bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from textwrap import shorten
from types import ModuleType
from typing import Any, Literal, get_args

import matplotlib as mpl
import pandas as pd
from matplotlib import figure as mpl_figure
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text

from bench.reports.records.class_names import short
from bench.reports.utils.text import condition_text

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, Color Universal Design, 2008, without the yellow that is lost on white paper."""

_DASHES: tuple[tuple[int, ...], ...] = ((), (5, 2), (1, 1), (5, 1, 1, 1), (8, 3))
"""Lengths of dashes and gaps in line widths; none for a solid line."""

_MARKERS = "osD^vPX*<>"


@dataclass(frozen=True)
class PlotStyle:
    """Colour, marker and dash of one method; no two of the first 70 methods have all three in common."""

    colour: str
    marker: str
    dash: tuple[int, ...]


def plot_styles(names: Sequence[str]) -> dict[str, PlotStyle]:
    """Return a style for each name; it depends on the sorted names alone, so all figures of a report agree."""
    return {
        name: PlotStyle(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], _DASHES[i % len(_DASHES)])
        for i, name in enumerate(sorted(set(names)))
    }


Format = Literal["svg", "png", "pdf"]
"""What a figure's file can be."""

FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, eq=False)
class Figure:
    """One finished figure.

    Attributes
    ----------
    name : str
        File name without its ending.
    title, caption : str
        What it shows, and how to read it.
    data : DataFrame
        Every number that is drawn.
    wide : bool
        Whether the page gives it the whole width.
    drawing : matplotlib Figure or None
        What files are made of; None where those that were asked for are made.
    files : dict of str to bytes
        By format, the files that were asked for so far.
    """

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    wide: bool = False
    drawing: mpl_figure.Figure | None = None
    files: dict[Format, bytes] = field(default_factory=dict)

    @property
    def svg(self) -> bytes:
        """The figure as SVG."""
        return self.file("svg")

    @property
    def png(self) -> bytes:
        """The figure as PNG, 160 dots an inch."""
        return self.file("png")

    def file(self, kind: Format) -> bytes:
        """Return the figure as a file, which is made when it is first asked for.

        Raises
        ------
        KeyError
            If it was finished without this format.
        """
        if kind not in self.files and self.drawing is not None:
            self.files[kind] = _printed(self.drawing, kind)
        return self.files[kind]

    def finished(self, formats: Iterable[Format]) -> Figure:
        """Return the figure with its SVG and the files of other formats made, and without what they are made of."""
        for kind in ("svg", *formats):
            self.file(kind)
        return replace(self, drawing=None)


def title(dataset: object, condition: object, width: float = 6.4) -> str:
    """Return a data set and a condition as a title above a figure (inches wide); the caption has the whole of it."""
    words = f"{dataset}: {condition_text(str(condition))}".rstrip(": ")
    return shorten(words, round(_LETTERS * width), placeholder=" …")


_LETTERS = 11.25
"""Letters of a title to an inch."""

LONGEST_NAME = 40
"""Letters of a method's name in a figure; tables have the whole of it."""
_ROW = 0.2
"""Inches that a row of names below a figure takes."""
_MARK = 7
"""Letters' room that the line and mark before a name take."""
_ROOM = 0.75
"""Share of a figure's width that two columns of names may take within the axes."""
_IN_A_CORNER = 6
"""Most names of lines that find a free corner within a figure."""


def legend(figure: mpl_figure.Figure, axes: Axes) -> None:
    """Name the lines: in a free corner if they are few and their names short, else below, where they cover nothing."""
    handles, names = axes.get_legend_handles_labels()
    texts = [name_shown(name) for name in names]
    wide = 2 * (_MARK + max(map(len, texts), default=0)) > _ROOM * _LETTERS * figure.get_figwidth()
    if len(names) <= _IN_A_CORNER and not wide:
        axes.legend(handles, texts, ncols=2)
    else:
        remove_legend(axes)
        rows = legend_below(figure, handles, names)
        figure.set_figheight(figure.get_figheight() + _ROW * rows)


def legend_below(figure: mpl_figure.Figure, handles: Sequence[Artist], names: Sequence[str]) -> int:
    """Name lines or marks below a figure, whose height stays, and return in how many rows, each of 0.2 inches."""
    texts = [name_shown(name) for name in names]
    # A name is as wide as the longest.
    columns = max(1, min(5, len(texts), int(_LETTERS * figure.get_figwidth() / (_MARK + max(map(len, texts))))))
    figure.legend(handles, texts, loc="outside lower center", ncols=columns)
    return -(-len(texts) // columns)


def name_shown(name: object) -> str:
    """Return the name of a method as figures have it: the middle of a long one is left out."""
    return short(str(name), LONGEST_NAME)


def remove_legend(axes: Axes) -> None:
    """Remove the legend that seaborn gave some axes, if it did; the handles stay."""
    drawn = axes.get_legend()
    if drawn is not None:
        drawn.remove()


def lines(
    axes: Axes, data: pd.DataFrame, x: str, y: str, styles: Mapping[str, PlotStyle], *, markers: bool = True
) -> None:
    """Draw a line a method, with the colour, dash and marks of the method.

    Parameters
    ----------
    axes : Axes
    data : DataFrame
        ``method`` and the columns ``x`` and ``y``; each line runs in the order of ``x``.
    x, y : str
    styles : mapping of str to PlotStyle
    markers : bool
        Whether each point is marked.
    """
    methods = sorted(data["method"].unique())
    seaborn().lineplot(
        data,
        x=x,
        y=y,
        hue="method",
        hue_order=methods,
        style="method",
        style_order=methods,
        palette={method: styles[method].colour for method in methods},
        dashes={method: styles[method].dash for method in methods},
        markers={method: styles[method].marker for method in methods} if markers else False,
        # The intervals of a report are those of its statistics, drawn by `bands`.
        estimator=None,
        errorbar=None,
        legend=False,
        ax=axes,
    )
    # seaborn names styles by lines of its own; here each line has the name of its method.
    for line, method in zip(axes.lines[-len(methods) :], methods, strict=True):
        line.set_label(method)


def bands(axes: Axes, data: pd.DataFrame, x: str, y: str, styles: Mapping[str, PlotStyle], *, edges: bool) -> None:
    """Draw a band a method between ``y_low`` and ``y_high``, and its edges where bands lie over each other."""
    for method, line in data.groupby("method", sort=True):
        colour = styles[str(method)].colour
        low, high = line[f"{y}_low"], line[f"{y}_high"]
        axes.fill_between(line[x], low, high, color=colour, alpha=0.1, linewidth=0)
        for edge in (low, high) if edges else ():
            axes.plot(line[x], edge, color=colour, alpha=0.5, linewidth=0.6)


def heatmap(
    axes: Axes, data: pd.DataFrame, *, cmap: str, low: float, high: float, label: str, numbers: bool = False
) -> None:
    """Draw a square of a colour for each value, the first row on top, with the scale of colours on the right.

    Parameters
    ----------
    axes : Axes
    data : DataFrame
        Values [r, c]; where one is NaN there is no square. The axis on the left has the names of all rows.
    cmap : str
        matplotlib's name of the colours.
    low, high : float
        The values of the first and the last colour.
    label : str
        What the values are.
    numbers : bool
        Whether squares are apart and say their value; else all are one image, since many make a large file.
    """
    drawing = axes.figure
    # seaborn draws the whole figure to see whether labels overlap, a sixth of such a figure's time, and turns them.
    drawing.draw = drawing.canvas.draw = lambda *_: None  # type: ignore[method-assign]
    try:
        seaborn().heatmap(
            data,
            ax=axes,
            cmap=cmap,
            vmin=low,
            vmax=high,
            annot=numbers,
            fmt=".1f",
            annot_kws={"in_layout": False, "fontsize": 9} if numbers else None,
            linewidths=float(numbers),
            rasterized=not numbers,
            xticklabels=False,
            yticklabels=[name_shown(name) for name in data.index],
            cbar_kws={"label": label, "shrink": 0.8 if numbers else 0.9},
        )
    finally:
        del drawing.draw, drawing.canvas.draw
    axes.grid(visible=False)
    axes.tick_params(axis="y", rotation=0)


def seaborn() -> ModuleType:
    """Return seaborn, imported when something is drawn: with scipy's statistics it takes as long as torch."""
    return import_module("seaborn")


def in_percent(data: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return a frame with shares and their bounds in per cent."""
    columns = [column for name in names for column in (name, f"{name}_low", f"{name}_high") if column in data]
    return data.assign(**{column: 100 * data[column] for column in columns})


@contextmanager
def _said_elsewhere() -> Iterator[None]:
    """Leave out what matplotlib warns of: a name too long to draw, and glyphs, of which :func:`unshown` tells once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from|constrained_layout not applied")
        yield


@contextmanager
def _measured_once(figure: mpl_figure.Figure) -> Iterator[None]:
    """Keep what each text of a figure measures while the block finds a layout or prints a file.

    Either asks each text three or four times, a fifth of the time that a figure takes. In the meantime nothing changes
    but what a text says, the dots of an inch, and who draws. A matplotlib that measures otherwise is left alone.
    """
    texts = [text for text in figure.findobj(Text) if hasattr(text, "_get_layout")]
    for text in texts:
        vars(text)["_get_layout"] = _remembering(text)
    try:
        yield
    finally:
        for text in texts:
            del vars(text)["_get_layout"]


def _remembering(text: Artist) -> Callable[[Any], Any]:
    """Return the function that measures a text, with a memory."""
    said: Any = text
    measure, known = said._get_layout, {}

    def layout(renderer: Any) -> Any:
        key = (said.get_text(), said.figure.dpi, type(renderer))
        if key not in known:
            known[key] = measure(renderer)
        return known[key]

    return layout


@contextmanager
def canvas(
    width: float = 6.4, height: float = 4.0, nrows: int = 1, ncols: int = 1
) -> Iterator[tuple[mpl_figure.Figure, list[Axes]]]:
    """Yield a figure (inches) and its axes in reading order. Nothing global is touched."""
    settings: dict[Any, Any] = {
        **seaborn().plotting_context("paper"),
        **seaborn().axes_style("whitegrid"),
        # The one font that comes with matplotlib, so that figures are the same bytes on every machine.
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9.5,
        # Names are names: a `$` in one begins no formula, which could fail to be one.
        "text.parse_math": False,
        "axes.labelsize": 9.5,
        "axes.titlesize": 10.5,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "legend.fontsize": 9.5,
        # Fixed where it would end up anyway: nothing stands above an axis that a title had to make way for.
        "axes.titley": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#444444",
        "axes.linewidth": 0.8,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "xtick.bottom": True,
        "ytick.left": True,
        **{f"{axis}tick.major.{what}": value for axis in "xy" for what, value in (("size", 3.5), ("width", 0.8))},
        "lines.linewidth": 1.7,
        "lines.markersize": 5.5,
        "legend.frameon": False,
    }
    with mpl.rc_context(settings), _said_elsewhere():
        figure = mpl_figure.Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(nrows, ncols, squeeze=False).ravel().tolist()
        yield figure, axes


def render(
    figure: mpl_figure.Figure, *, name: str, title: str, caption: str, data: pd.DataFrame, wide: bool = False
) -> Figure:
    """Return a drawn figure with its layout found."""
    # A label that is not there needs no place, which would be looked for beside the numbers of its axis at every step.
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if not axis.get_label_text()):
        axis.set_label_coords(0, 0)
    # The layout is found once and kept for all files. The canvases print it as it is, where `savefig` would first draw
    # each file once more to look for a layout: finding and drawing is most of the time that a report takes.
    engine = figure.get_layout_engine()
    assert engine is not None
    with _said_elsewhere(), _measured_once(figure):
        engine.execute(figure)
    figure.set_layout_engine("none")
    return Figure(name=name, title=title, caption=caption, data=data, wide=wide, drawing=figure)


def _printed(figure: mpl_figure.Figure, kind: Format) -> bytes:
    """Return a figure whose layout is found as a file that holds no date and no version."""
    sink = io.BytesIO()
    # Ids in an SVG are hashes of this salt, and text stays text: the same figure is the same bytes.
    stable: dict[Any, Any] = {
        "svg.hashsalt": "retrieval-bench",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "text.parse_math": False,
    }
    # Canvases leave another behind; images within an SVG or a PDF have it too.
    figure.set_dpi(160)
    with mpl.rc_context(stable), _said_elsewhere(), _measured_once(figure):
        if kind == "svg":
            FigureCanvasSVG(figure).print_svg(sink, metadata={"Date": None, "Creator": None})
        elif kind == "pdf":
            # Importing what writes PDF takes a tenth of a second, which few reports need.
            from matplotlib.backends.backend_pdf import FigureCanvasPdf

            unsaid = dict.fromkeys(("Creator", "Producer", "CreationDate"))
            FigureCanvasPdf(figure).print_pdf(sink, metadata=unsaid)
        else:
            # At level 1 files are a tenth larger than at the usual level 6, and packing takes two thirds of the time.
            FigureCanvasAgg(figure).print_png(sink, metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    return sink.getvalue()


def unshown(texts: Iterable[str]) -> str:
    """Return the characters of some texts that the figures' font lacks, each once: a PNG shows a box for them."""
    characters = {character for text in texts for character in text if not character.isspace()}
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(sorted(character for character in characters if ord(character) not in known))
