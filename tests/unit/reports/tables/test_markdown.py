"""Tables as Markdown."""

from bench.reports.tables.markdown import markdown
from bench.reports.tables.table import Cell, Table


def test_markdown_holds_every_row():
    table = Table("t", "T", "50 % of {x}", ("a_b", "n"), ((Cell("x|y", "x"), Cell("1.0", 1.0, True)),))
    assert "| x\\|y | **1.0** |" in markdown(table)
    assert "| --- | ---: |" in markdown(table)
