"""Columns that tell records apart."""

from __future__ import annotations

GROUP = ["scenario", "dataset", "condition"]
"""What makes two results comparable; a table and a figure are about one such group."""

CELL = [*GROUP, "method", "seed"]
"""What a result is about: one method in one group with one seed."""
