"""What the source says of a method, scenario, encoder or engine is what its class says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.cli import listing
from bench.core.registry import METHODS, SCENARIOS
from bench.encoders.registry import ENCODERS
from bench.reports.figures.registry import FIGURES
from bench.reports.metrics.definitions import METRICS
from bench.search.registry import ENGINES


@pytest.mark.parametrize(
    ("listed", "registry", "asked"),
    [
        (listing.methods, METHODS, listing.method_row),
        (listing.scenarios, SCENARIOS, listing.parameters_row),
        (listing.encoders, ENCODERS, listing.described_row),
        (listing.engines, ENGINES, listing.parameters_row),
    ],
    ids=["methods", "scenarios", "encoders", "engines"],
)
def test_a_row_that_is_read_is_the_row_that_is_asked_for(listed, registry, asked) -> None:  # type: ignore[no-untyped-def]
    rows = {row["name"]: row for row in listed()}
    rows.pop("NAME:PRETRAINED", None)
    assert set(rows) == set(registry.names())
    for name, row in rows.items():
        assert row == asked(registry.get(name))


def test_all_that_is_built_in_can_be_read() -> None:
    for registry in (METHODS, SCENARIOS, ENCODERS, ENGINES):
        assert [entry.name for entry in registry.spec.built_in() if not entry.complete] == []


def test_metrics_and_figures_are_listed_without_torch() -> None:
    code = (
        "import json, sys; from bench.cli.listing import figures, metrics; "
        "print(json.dumps([metrics(), figures(), 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, drawn, torch = json.loads(done.stdout)
    assert not torch
    assert {row["name"] for row in shown} == set(METRICS.names())
    assert {(row["name"], row["section"]) for row in drawn} == {(one.name, one.section) for one in FIGURES}
    assert all(row["summary"] for row in (*shown, *drawn))
