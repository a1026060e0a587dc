"""Tables on a terminal: what wraps first, and that nothing is lost."""

from __future__ import annotations

import pytest

from bench.reports.tables.console import table_lines, text_lines

HEADS = [
    "method",
    "accuracy %",
    "recall %",
    "avg inc %",
    "forgetting %",
    "bwd transfer %",
    "seeds",
    "seconds",
    "state MiB",
]
NUMBERS = ["97.2 [96.4, 98.1]", "97.1 [96.3, 98.0]", "98.5 [96.0, 100.0]", "1.5 [0.6, 2.4]", "-1.4 [-2.3, -0.5]"]
ROWS = [[name, *NUMBERS, "3", "0.19", "1.28"] for name in ("slda", "zero-shot")]


def text_of(lines: list[str]) -> str:
    return "".join("".join(line.split()) for line in lines)


def test_without_a_width_a_row_is_a_line() -> None:
    lines = table_lines(HEADS, ROWS)
    assert len(lines) == 4
    assert [line.split()[0] for line in lines[2:]] == ["slda", "zero-shot"]
    assert all(number in line for line in lines[2:] for number in NUMBERS)


@pytest.mark.parametrize("width", [120, 100, 80, 40])
def test_a_table_wraps_at_the_width_and_loses_nothing(width: int) -> None:
    lines = table_lines(HEADS, ROWS, width=width)
    assert max(map(len, lines)) <= width
    assert sorted(text_of(lines).replace("-", "")) == sorted(text_of(table_lines(HEADS, ROWS)).replace("-", ""))


@pytest.mark.parametrize("width", [120, 80])
def test_numbers_and_names_are_not_broken_while_there_is_another_way(width: int) -> None:
    words = {word for line in table_lines(HEADS, ROWS, width=width) for word in line.split()}
    assert {"zero-shot", "accuracy", "seconds", "97.2", "[96.4,", "98.1]", "100.0]"} <= words


def test_bounds_go_to_a_line_of_their_own_first() -> None:
    lines = table_lines(HEADS[:3], [row[:3] for row in ROWS], width=38)
    assert [line.split() for line in lines[2:4]] == [["slda", "97.2", "97.1"], ["[96.4,", "98.1]", "[96.3,", "98.0]"]]


def test_marks_of_rich_are_text() -> None:
    assert table_lines(["[b]"], [["[red]x[/red]"]], rule=False) == ["[b]", "[red]x[/red]"]
    assert text_lines("see [link] for `it`") == ["see [link] for `it`"]


def test_a_long_text_wraps_between_words() -> None:
    assert text_lines("one two three", width=8) == ["one two", "three"]


def test_a_table_without_rows_is_its_head() -> None:
    assert table_lines(["a", "b"], [], width=20) == ["a  b", "----"]


def test_lines_are_lines_in_a_notebook_too(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert table_lines(["a"], [["b"]]) == ["a", "-", "b"]
