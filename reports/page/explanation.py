"""An explanation for people: on the terminal, and as an HTML page with the images inlined."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.reports.page.template import page
from bench.reports.tables.console import table_lines
from bench.reports.utils.class_weights import class_weights
from bench.reports.utils.text import condition_text
from bench.utils.names import printable

if TYPE_CHECKING:
    from bench.explain.explain import Case, Explained
    from bench.explain.scene import Answer

ImageOf = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Row:
    """One neighbour as it is shown; ``change`` says what the intervention does to it."""

    branch: str
    item: str
    name: str
    similarity: str
    weight: str
    right: bool
    change: str
    image: str


def text(case: Case, *, most: int = 8, width: int | None = None) -> str:
    """Return an explanation for the terminal, with the nearest ``most`` neighbours of each branch.

    The table of neighbours wraps at ``width`` columns; without it each neighbour is one line.
    """
    blocks = ["\n".join([heading(case), *(f"warning: {printable(warning)}" for warning in case.warnings)])]
    for explained in case.explained:
        lines = [_verdict(case, explained)]
        if explained.after is not None:
            lines.append(f"  {_intervention(case)}: {_change(case, explained)}")
        lines += [f"  {line}" for line in _speaking(case, explained.before)]
        rows = neighbour_rows(case, explained.before, most=most)
        if rows:
            assert explained.before.evidence is not None
            lines.append(f"  neighbours, + of the query's class; weights are {explained.before.evidence.weights}")
            lines += _neighbour_table(rows, width)
        if explained.before.evidence is None:
            lines.append("  the method does not say what its answer rests on; scores alone:")
            lines.append(f"  {_list(case, explained.before.scores)}")
        lines += [f"  {line}" for line in _removals(case, explained)]
        if explained.after is not None and explained.after.evidence is not None:
            lines += [f"  afterwards {line}" for line in _afterwards(case, explained)]
        blocks.append("\n".join(map(printable, lines)))
    return "\n\n".join(blocks)


def html(case: Case, show: ImageOf, *, most: int = 32) -> str:
    """Return an explanation as one HTML page that loads nothing; images come from ``show``."""
    methods = [
        {
            "name": explained.method,
            "verdict": _verdict(case, explained),
            "change": _change(case, explained) if explained.after is not None else "",
            "speaking": _speaking(case, explained.before),
            "speaking_after": _afterwards(case, explained),
            "removals": _removals(case, explained),
            "weights": explained.before.evidence.weights if explained.before.evidence else "",
            "rows": neighbour_rows(case, explained.before, most=most, show=show),
            "scores": _list(case, explained.before.scores),
        }
        for explained in case.explained
    ]
    return page(
        "explain.html",
        styles=("page.css", "explain.css"),
        case=case,
        heading=heading(case),
        image=_data_uri(show(case.query)),
        intervention=_intervention(case),
        methods=methods,
    )


def heading(case: Case) -> str:
    """Return what was asked and where."""
    words = condition_text(case.condition)
    where = f"{case.scenario} on {case.data.name}" + (f", {words}" if words else "")
    return printable(
        f"query {case.query}, class {case.name_of(case.label)} · {where} · session {case.session}, seed {case.seed}"
    )


def neighbour_rows(case: Case, answer: Answer, *, most: int, show: ImageOf | None = None) -> list[Row]:
    """Return the nearest ``most`` neighbours of each branch, and beyond them those that are intervened on."""
    touched = dict.fromkeys(case.exclude, "left out")
    touched |= {item: f"now {case.name_of(label)}" for item, label in case.relabel.items()}
    shown: dict[str, int] = {}
    rows = []
    for near in answer.evidence.neighbours if answer.evidence else ():
        shown[near.branch] = shown.get(near.branch, 0) + 1
        if shown[near.branch] > most and near.item not in touched:
            continue
        rows.append(
            Row(
                branch=near.branch,
                item=near.item,
                name=case.name_of(near.label),
                similarity=f"{near.similarity:.3f}",
                weight=f"{near.weight:.3g}",
                right=near.label == case.label,
                change=touched.get(near.item, ""),
                image=_data_uri(show(near.item)) if show else "",
            )
        )
    return rows


def _verdict(case: Case, explained: Explained) -> str:
    answer = explained.before
    right = "right" if answer.prediction == case.label else "wrong"
    return f"{explained.method}: {case.name_of(answer.prediction)} ({right}, confidence {answer.confidence:.2f})"


def _intervention(case: Case) -> str:
    parts = [f"without {item}" for item in case.exclude]
    parts += [f"with {item} as {case.name_of(label)}" for item, label in sorted(case.relabel.items())]
    return ", ".join(parts)


def _change(case: Case, explained: Explained) -> str:
    before, after = explained.before, explained.after
    assert after is not None
    right = "right" if after.prediction == case.label else "wrong"
    now = f"{case.name_of(after.prediction)} ({right}, confidence {after.confidence:.2f})"
    return f"{'the answer stays' if before.prediction == after.prediction else 'the answer becomes'} {now}"


def _speaking(case: Case, answer: Answer) -> list[str]:
    """Return a line for each branch of neighbours and of prototypes: the classes that have most."""
    lines = [f"{branch} neighbours: {_list(case, sums)}" for branch, sums in class_weights(answer).items()]
    return lines + [f"{branch} prototypes: {_list(case, near)}" for branch, near in answer.prototypes.items()]


def _removals(case: Case, explained: Explained) -> list[str]:
    """Return a line for each item whose removal changes the answer, or one for several that do together."""
    found = explained.removals
    if found is None:
        return []
    then = "after the intervention " if case.exclude or case.relabel else ""
    if found.alone:
        lines = [f"{then}without {item}: {case.name_of(label)}" for item, label in found.alone.items()]
        return lines if found.complete else [*lines, "other items were not tried"]
    if found.becomes is None:
        tried = (
            "no removal that was tried changes the answer" if found.complete else "time was over before one was found"
        )
        return [f"{then}{tried}"]
    together = ", ".join(found.together)
    how = "none of fewer items does" if found.fewest else "perhaps fewer do"
    return [f"{then}without {together}: {case.name_of(found.becomes)} ({how})"]


def _afterwards(case: Case, explained: Explained) -> list[str]:
    """Return the lines of the answer after the intervention, with the neighbours that stepped in; none without one."""
    if explained.after is None:
        return []
    before = explained.before.evidence.neighbours if explained.before.evidence else ()
    known = {(near.branch, near.item) for near in before}
    arrived: dict[str, list[str]] = {}
    for near in explained.after.evidence.neighbours if explained.after.evidence else ():
        if (near.branch, near.item) not in known:
            words = f"{near.item} ({case.name_of(near.label)}, cosine {near.similarity:.3f})"
            arrived.setdefault(near.branch, []).append(words)
    lines = _speaking(case, explained.after)
    return lines + [f"new {branch} neighbours: {', '.join(items)}" for branch, items in arrived.items()]


def _list(case: Case, values: Sequence[tuple[int, float]]) -> str:
    return ", ".join(f"{case.name_of(label)} {value:.3g}" for label, value in values)


def _neighbour_table(rows: Sequence[Row], width: int | None) -> list[str]:
    heads = ("", "item", "class", "cosine", "weight", "")
    texts = [(r.branch, r.item, ("+ " if r.right else "  ") + r.name, r.similarity, r.weight, r.change) for r in rows]
    inner = None if width is None else max(1, width - 2)
    return [f"  {line}" for line in table_lines(heads, texts, left=(0, 1, 2, 5), width=inner, rule=False)]


def _data_uri(png: bytes | None) -> str:
    return "" if png is None else "data:image/png;base64," + base64.b64encode(png).decode()
