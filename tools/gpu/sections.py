"""All sections, in the order in which they run: what tells most stands first."""

from __future__ import annotations

from tools.gpu import (
    ceilings,
    duplicates,
    encoder,
    energy,
    every_method,
    marked,
    precision,
    published,
    sweep,
)
from tools.gpu.section import Section

SECTIONS = (
    Section("tests", "Tests that are marked `gpu`", 120, marked.rows),
    Section("methods", "Every method, CPU against GPU", 80, every_method.rows),
    Section("published", "The cost profile of the memory-modular paper, section 4.5", 50, published.rows),
    Section("duplicates", "Exact search with duplicates, against float64 on the CPU", 40, duplicates.rows),
    Section("ceilings", "Search and MML against this card's products and copies", 40, ceilings.rows),
    Section("energy", "Energy", 15, energy.rows),
    Section("sweep", "The few-shot table, all methods", 70, sweep.rows),
    Section("encoder", "Features of the bundled encoder, CPU against GPU", 25, encoder.rows),
    Section("precision", "Trainings in bfloat16 beside float32", 40, precision.rows),
)
"""Shares are seconds of 480."""
