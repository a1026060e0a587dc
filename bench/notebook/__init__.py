"""Comparisons in a notebook: what ``bench.run`` returns shows itself, and makes tables, figures and reports."""
