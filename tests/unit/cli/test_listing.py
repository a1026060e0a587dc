"""What the source says of a method, scenario, encoder or engine is what its class says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import listing, listing_data, listing_registered
from bench.core.registry import METHODS, SCENARIOS
from bench.data.declaration import declarations
from bench.data.names import Known
from bench.encoders.registry import ENCODERS
from bench.reports.figures.registry import FIGURES
from bench.reports.metrics.definitions import METRICS
from bench.search.registry import ENGINES


@pytest.mark.parametrize(
    ("listed", "registry", "asked"),
    [
        (listing_registered.methods, METHODS, listing_registered.method_row),
        (listing_registered.scenarios, SCENARIOS, listing_registered.parameters_row),
        (listing_registered.encoders, ENCODERS, listing_registered.described_row),
        (listing_registered.engines, ENGINES, listing_registered.parameters_row),
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
        "import json, sys; from bench.cli.listing_figures import figures; "
        "from bench.cli.listing_metrics import metrics; "
        "print(json.dumps([metrics(), figures(), 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, drawn, torch = json.loads(done.stdout)
    assert not torch
    assert {row["name"] for row in shown} == set(METRICS.names())
    assert {(row["name"], row["section"]) for row in drawn} == {(one.name, one.section) for one in FIGURES}
    assert all(row["summary"] for row in (*shown, *drawn))


def test_the_text_says_what_is_adapted_and_every_parameter() -> None:
    rows = listing_registered.methods()
    text = listing.as_text(rows)
    for row in rows:
        if row["adapted"]:
            assert " ".join(row["adapted"].split()) in text
    assert "parameters: " in text
    assert all(f"{name}={value}" in text for row in rows[:5] for name, value in row["parameters"].items())


def test_standard_data_sets_are_listed_and_whether_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {row["name"]: row for row in listing_data.datasets()}
    assert set(declarations()) <= set(rows)
    assert rows["digits"]["there"]
    assert not rows["cifar10"]["there"]
    text = listing.as_text(list(rows.values()))
    assert "CIFAR-10  [not here]" in text
    assert "bench data prepare cifar10 --root FOLDER" in text
    pack = tmp_path / "packs" / "cifar10"
    monkeypatch.setattr("bench.cli.listing_data.known", lambda: {"cifar10": Known("cifar10", str(pack), "CIFAR", pack)})
    (row,) = [row for row in listing_data.datasets() if row["name"] == "cifar10"]
    assert row["there"]
    assert f"[{pack}]" in listing.as_text([row])


def test_a_shell_completes_names_without_torch() -> None:
    code = (
        "import sys; from bench.cli import completion as c; "
        "asked = ((c.methods, 'knn,proto'), (c.scenarios, 'inc'), (c.datasets, 'dig'), (c.standard, 'cifar')); "
        "print(*([i.value for i in kind(None, None, text)] for kind, text in asked), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = "['knn,protonet'] ['incremental'] ['digits'] ['cifar10', 'cifar100'] False"
    assert done.stdout.strip() == said


def test_methods_are_listed_without_what_checks_types_or_reads_yaml() -> None:
    code = (
        "import sys; from bench.cli.listing import rows; assert rows('methods'); "
        "print([name for name in ('pydantic', 'yaml', 'numpy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
