"""Seconds and bytes of every method against the images n, the classes C and the dimensions d, beside its formula.

    python -m tools.growth_curve --figure docs/images/growth.png > table.md

Each method is measured in a process of its own by :mod:`tools.growth`. From one size in the middle n, C and d are each
made smaller and larger, and a line through the logarithms gives the measured power. A training is shortened as
:mod:`tools.growth_formulas` says. Powers are told of what takes 50 ms or 8 MiB at its largest size.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.registry import METHODS
from bench.utils.atomic import write_atomically
from tools.arguments import names_of, positive
from tools.growth import MIB, Size, alone, whole
from tools.growth_formulas import FORMULAS, largest_powers

MIDDLE: Size = (2000, 50, 128)
AROUND = ((500, 8000), (12, 200), (32, 512))
"""Values of n, C and d beside those in the middle."""
_SECONDS = 0.05
_BYTES = 8 * MIB
_LEAST_SECONDS, _LEAST_BYTES = _SECONDS / 10, 2 * MIB
"""Below these there is nothing but noise: a process's bytes differ by one MiB from a measurement to the next."""

Found = Mapping[Size, Mapping[str, Any]]
"""What was measured at each size that ended in time."""


def sizes() -> list[Size]:
    """Return all sizes, the middle one first."""
    found = [MIDDLE]
    for axis, values in enumerate(AROUND):
        for value in values:
            size = list(MIDDLE)
            size[axis] = value
            found.append((size[0], size[1], size[2]))
    return found


def power(found: Found, axis: int, what: str) -> float | None:
    """Return the measured power of seconds or bytes in n, C or d; None where too little was measured to tell one."""
    points = []
    for size, one in sorted(found.items()):
        if all(size[other] == MIDDLE[other] for other in range(3) if other != axis):
            points.append((size[axis], whole(one) if what == "held" else float(one[what])))
    least, noise = (_BYTES, _LEAST_BYTES) if what == "held" else (_SECONDS, _LEAST_SECONDS)
    points = [(at, value) for at, value in points if value >= noise]
    if len(points) < 2 or max(value for _, value in points) < least:
        return None
    x, y = ([math.log(point[k]) for point in points] for k in (0, 1))
    middle, mean = sum(x) / len(x), sum(y) / len(y)
    return sum((a - middle) * (b - mean) for a, b in zip(x, y, strict=True)) / sum((a - middle) ** 2 for a in x)


def measured(names: Sequence[str], limit: int, kept: Path | None = None) -> dict[str, Found]:
    """Return what was measured of methods; what takes more than ``limit`` seconds of the processor is left out.

    Methods that a file of lines tells of are not measured again, and the others are added to it.
    """
    rows = [] if kept is None or not kept.exists() else [json.loads(line) for line in kept.read_text().splitlines()]
    new = sorted({*names} - {row["method"] for row in rows}, key=[*names].index)
    if new:
        rows += alone(new, sizes(), limit, {name: FORMULAS[name].short or {} for name in new})
    if kept is not None:
        write_atomically(kept, "".join(f"{json.dumps(row)}\n" for row in rows))
    return {name: {(*row["size"],): row for row in rows if row["method"] == name} for name in names}


def table(found: Mapping[str, Found]) -> str:
    """Return a Markdown table: what the middle size takes, and measured powers beside the largest of the formula."""
    n, c, d = MIDDLE
    lines = [
        f"| method | n={n:,}, C={c}, d={d}: build, score | held | build: n, C, d | score: n, C, d | held: n, C, d |",
        "| --- | ---: | ---: | --- | --- | --- |",
    ]
    for name, one in found.items():
        middle = one.get(MIDDLE)
        taken, held = ("-", "-") if middle is None else (_seconds(middle), f"{whole(middle) / MIB:.0f} MiB")
        cells = []
        for what in ("build", "score", "held"):
            formula = getattr(FORMULAS[name], what)
            told = ", ".join(_told(power(one, axis, what)) for axis in range(3))
            cells.append(f"{told}; {formula}")
        lines.append(f"| {_shortened(name)} | {taken} | {held} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shortened(name: str) -> str:
    """Return a method with the constants that were made small."""
    return f"`{name}`" + "".join(f", {key} = {value:g}" for key, value in (FORMULAS[name].short or {}).items())


def _seconds(one: Mapping[str, Any]) -> str:
    return f"{one['build']:.2f} s, {one['score']:.2f} s"


def _told(value: float | None) -> str:
    return "-" if value is None else f"{max(0.0, value):.1f}"


def draw(found: Mapping[str, Found], path: Path) -> None:
    """Draw the measured powers of each method as dots and the formula's largest as bars."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name, one in found.items() if one][::-1]
    figure, axes = plt.subplots(1, 3, figsize=(9, 0.21 * len(names) + 1.4), sharey=True, constrained_layout=True)
    styles = {"build": ("#1b6ca8", "o"), "score": ("#d1495b", "s"), "held": ("#5a8f29", "D")}
    for axis, (plot, letter, long) in enumerate(zip(axes, "nCd", ("images", "classes", "dimensions"), strict=True)):
        for row, name in enumerate(names):
            for shift, (what, (colour, marker)) in zip((0.25, 0.0, -0.25), styles.items(), strict=True):
                most = largest_powers(getattr(FORMULAS[name], what))[axis]
                plot.plot([0, most], [row + shift] * 2, color=colour, alpha=0.25, linewidth=3, solid_capstyle="butt")
                value = power(found[name], axis, what)
                if value is not None:
                    plot.plot(value, row + shift, marker, color=colour, markersize=3.5, clip_on=False)
        plot.set_title(f"power of {letter} ({long})", fontsize=9)
        plot.set_xlim(-0.4, 3.4)
        plot.set_xticks(range(4))
        plot.tick_params(labelsize=8)
        plot.grid(axis="x", linewidth=0.4)
        plot.set_ylim(-0.7, len(names) - 0.3)
    axes[0].set_yticks(range(len(names)), names, fontsize=7.5)
    handles = [
        plt.Line2D([], [], color=colour, marker=marker, markersize=4, linestyle="none", label=f"{what}, measured")
        for what, (colour, marker) in styles.items()
    ]
    handles.append(plt.Line2D([], [], color="grey", alpha=0.4, linewidth=3, label="up to the formula's"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", help="names, by comma; by default all that are no variants")
    parser.add_argument("--limit", type=positive, default=5, help="processor seconds of a phase at one size")
    parser.add_argument("--kept", type=Path, help="lines that earlier calls measured; only other methods are measured")
    parser.add_argument("--figure", type=Path, help="where to draw")
    given = parser.parse_args(arguments)
    every = [name for name in METHODS.names() if name in FORMULAS]
    names = every if given.methods is None else names_of(parser, given.methods, every)
    found = measured(names, given.limit, given.kept)
    print(table(found))
    if given.figure:
        draw(found, given.figure)


if __name__ == "__main__":
    main()
