"""All sections, in the order in which they run."""

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
    Section("methods", "Every method, CPU against GPU", 70, every_method.rows),
    Section("duplicates", "Exact search with duplicates, against float64 on the CPU", 30, duplicates.rows),
    Section("encoder", "Features of the bundled encoder, CPU against GPU", 20, encoder.rows),
    Section("published", "The cost profile of the memory-modular paper, section 4.5", 45, published.rows),
    Section("ceilings", "Search and MML against this card's products and copies", 40, ceilings.rows),
    Section("energy", "Energy", 15, energy.rows),
    Section("sweep", "The few-shot table, all methods", 55, sweep.rows),
    Section("precision", "Trainings in bfloat16 beside float32", 35, precision.rows),
    Section("tests", "Tests that are marked `gpu`", 170, marked.rows),
)
"""Shares are seconds of 480. The tests take longest, and have what the others leave."""
