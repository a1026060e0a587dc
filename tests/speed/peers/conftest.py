"""Prints the table of peers after the tests."""

from __future__ import annotations

import pytest

from tests.speed.peers import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the table where ratios were measured."""
    for line in table.lines():
        terminalreporter.write_line(line)
