"""The report as Markdown, and its place in a page: between two markers, the rest is left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError
from tools.gpu.card import Card
from tools.gpu.running import Outcome
from tools.gpu.section import Cell, Row

BEGIN = "<!-- what `make gpu` writes begins here -->"
END = "<!-- what `make gpu` writes ends here -->"


def report(card: Card, outcomes: Sequence[Outcome], minutes: float) -> str:
    """Return the whole report, without markers."""
    states = [outcome.state for outcome in outcomes]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    spent = sum(outcome.seconds for outcome in outcomes)
    head = [
        f"**{card.name}** · driver {card.driver} · torch {card.torch} · {card.date} · commit {card.commit}",
        "",
        f"{len(outcomes)} sections: {counts}; {spent:.0f} s of {60 * minutes:.0f} s.",
        "",
        *table([_summary(outcome) for outcome in outcomes]),
    ]
    return "\n".join([*head, *(line for outcome in outcomes for line in _section(outcome))]) + "\n"


def _summary(outcome: Outcome) -> Row:
    state = outcome.state if outcome.state == "passed" else f"**{outcome.state}**"
    energy = {"joules": outcome.joules}
    return Row({"section": outcome.section.name, "state": state, "seconds": outcome.seconds, **energy}, outcome.reason)


def _section(outcome: Outcome) -> list[str]:
    lines = ["", f"### {outcome.section.title}", ""]
    if outcome.state == "not run":
        return [*lines, f"Not run: {outcome.reason}."]
    if outcome.reason:
        lines += [f"**Failed:** {_cell(outcome.reason)}", ""]
    return lines + table(outcome.rows)


def table(rows: Sequence[Row]) -> list[str]:
    """Return a Markdown table of rows, whose columns are those of all of them; problems in one of its own, last."""
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    problems = any(row.problem for row in rows)
    if not rows:
        return []
    header = columns + ["problem"] * problems
    numeric = [all(not isinstance(row.cells.get(column), str) for row in rows) for column in columns]
    marks = ["---:" if right else "---" for right in numeric] + ["---"] * problems
    lines = [_line(header), _line(marks)]
    for row in rows:
        lines.append(_line([_cell(row.cells.get(column)) for column in columns] + [_cell(row.problem)] * problems))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Cell) -> str:
    """Return a value as it stands in a table: four digits of a number, nothing for what was not measured."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(value.replace("|", "\\|").split())


def check(path: Path) -> None:
    """Raise :class:`BenchError` for a page that a report cannot be put into, before anything is measured."""
    if path.is_dir():
        raise BenchError(f"{path} is a folder; name a file")
    if path.exists():
        _around(path)


def put(path: Path, content: str) -> None:
    """Write a report into a page, between its markers; a page that is not there is made of the report alone."""
    before, after = _around(path) if path.exists() else ("# The harness on a GPU\n\n", "\n")
    write_atomically(path, f"{before}{BEGIN}\n\n{content}\n{END}{after}")


def _around(path: Path) -> tuple[str, str]:
    """Return what stands before and after the markers."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{path} has no place for a report; give another --out, or put {BEGIN} and {END} into it")
    return before, after
