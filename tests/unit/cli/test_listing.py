"""What the source says of a method, scenario, encoder or engine is what its class says."""

from __future__ import annotations

import pytest

from bench.cli import listing
from bench.core.registry import METHODS, SCENARIOS
from bench.encoders.registry import ENCODERS
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
