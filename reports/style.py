"""How figures look: colours and marks that survive colour blindness and a black-and-white printer, and their bytes."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, Color Universal Design, 2008, without the yellow that is lost on white paper."""

_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 3)))
_MARKERS = "osD^vPX*<>"


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of one method; no two of the first 70 methods have all three in common."""

    colour: str
    marker: str
    dash: str | tuple[int, tuple[int, ...]]


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for each name; it depends on the sorted names alone, so all figures of a report agree."""
    return {
        name: Look(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], _DASHES[i % len(_DASHES)])
        for i, name in enumerate(sorted(set(names)))
    }


@dataclass(frozen=True, eq=False)
class Picture:
    """One figure.

    Attributes
    ----------
    name : str
        File name without its ending.
    title, caption : str
        What it shows, and how to read it.
    data : DataFrame
        Every number that is drawn.
    png, svg : bytes
    """

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    png: bytes
    svg: bytes


def condition_text(condition: str) -> str:
    """Return a condition (JSON) in words: ``base 0, increment 10``."""
    return ", ".join(f"{key} {_words(value)}" for key, value in json.loads(condition).items())


def _words(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def place(scenario: object, dataset: object, condition: object) -> str:
    """Return what a figure is about in words: ``incremental on glyphs, base 0, increment 10``."""
    words = condition_text(str(condition))
    return f"{scenario} on {dataset}" + (f", {words}" if words else "")


def title(dataset: object, condition: object, width: float = 6.4) -> str:
    """Return a data set and a condition as a title above a figure (inches wide); the caption has the whole of it."""
    words = f"{dataset}: {condition_text(str(condition))}".rstrip(": ")
    return shorten(words, round(_LETTERS * width), placeholder=" …")


_LETTERS = 11.25
"""Letters of a title to an inch."""


def legend(figure: Figure, axes: Axes) -> None:
    """Name the lines: in a free corner if they are few, else below, where they cover nothing."""
    handles, names = axes.get_legend_handles_labels()
    if len(names) <= _IN_A_CORNER:
        axes.legend(ncols=2)
    else:
        # A name is as wide as the longest, and has its line and mark before it.
        columns = max(1, min(5, int(_LETTERS * figure.get_figwidth() / (7 + max(map(len, names))))))
        figure.legend(handles, names, loc="outside lower center", ncols=columns)
        figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(names) // columns))


_IN_A_CORNER = 6
"""Most names of lines that find a free corner within a figure."""


def slug(*parts: str) -> str:
    """Return a file name of letters, digits, dots and hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(part for part in parts if part)).strip("-").lower()


def natural(text: str) -> str:
    """Return a text that sorts by its numbers: ``"shots": 4`` comes before ``"shots": 16``."""
    return re.sub(r"\d+(\.\d+)?", lambda match: f"{float(match.group()):020.6f}", text)


def file_name(scenario: object, dataset: object, condition: object, what: str) -> str:
    """Return the name of the file about one group; a long condition is cut and told apart by a hash."""
    words = slug(condition_text(str(condition)))
    if len(words) > 60:
        words = f"{words[:50]}-{hashlib.sha256(str(condition).encode()).hexdigest()[:6]}"
    return slug(str(scenario), str(dataset), words, what)


@contextmanager
def canvas(
    width: float = 6.4, height: float = 4.0, nrows: int = 1, ncols: int = 1
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield a figure (inches) and its axes in reading order. Nothing global is touched."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        # Fixed where it would end up anyway: nothing stands above an axis that a title had to make way for.
        "axes.titley": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "lines.linewidth": 1.7,
        "lines.markersize": 5,
        "legend.frameon": False,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(nrows, ncols, squeeze=False).ravel().tolist()
        yield figure, axes


def picture(figure: Figure, *, name: str, title: str, caption: str, data: pd.DataFrame) -> Picture:
    """Return a drawn figure as PNG and SVG bytes that hold no date and no version."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    # A label that is not there needs no place, which would be looked for beside the numbers of its axis at every step.
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if not axis.get_label_text()):
        axis.set_label_coords(0, 0)
    # The layout is found once and kept for both files. The canvases print it as it is, where `savefig` would first draw
    # each file once more to look for a layout: finding and drawing is most of the time that a report takes.
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
    found = {kind: io.BytesIO() for kind in ("png", "svg")}
    # Ids in an SVG are hashes of this salt, and text stays text: the same figure is the same bytes.
    stable: dict[Any, Any] = {"svg.hashsalt": "retrieval-bench", "svg.fonttype": "none"}
    figure.set_dpi(160)
    with mpl.rc_context(stable):
        # At level 1 files are a tenth larger than at the usual level 6, and packing them takes two thirds of the time.
        packing = {"compress_level": 1}
        FigureCanvasAgg(figure).print_png(found["png"], metadata={"Software": None}, pil_kwargs=packing)
        FigureCanvasSVG(figure).print_svg(found["svg"], metadata={"Date": None, "Creator": None})
    files = {kind: sink.getvalue() for kind, sink in found.items()}
    return Picture(name=name, title=title, caption=caption, data=data, **files)
