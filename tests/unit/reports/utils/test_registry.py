"""Registries of a report: order, names, and plug-ins that fail in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.reports.utils.registry import Registry
from bench.utils.errors import BenchError

GROUP = "retrieval_bench.test_things"


def plugin(folder: Path, name: str, code: str) -> None:
    """Write an installed distribution that names one module in the entry-point group."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {name}\n")


@pytest.fixture
def registry() -> Registry[int]:
    return Registry("thing", GROUP, built_in={"one": 1})


def test_entries_keep_the_order_of_registration(registry: Registry[int]) -> None:
    registry.add("zero", 0)
    assert registry.names() == ["one", "zero"]
    assert list(registry) == [1, 0]
    assert registry["zero"] == 0
    assert registry.plugin_of("zero") is None


def test_a_name_is_given_once(registry: Registry[int]) -> None:
    with pytest.raises(BenchError, match="two things are named 'one'; rename one of them"):
        registry.add("one", 2)


def test_a_plugin_that_cannot_be_used_is_one_line_and_leaves_the_others(
    registry: Registry[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = "import tests.unit.reports.utils.test_registry as here\n"
    plugin(tmp_path, "registry_good", f"{home}here.USED.add('good', 7)\n")
    plugin(tmp_path, "registry_half", f"{home}here.USED.add('half', 8)\nraise ValueError('two\\nlines')\n")
    plugin(tmp_path, "registry_same", f"{home}here.USED.add('one', 9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(f"{__name__}.USED", registry, raising=False)
    assert registry.names() == ["one", "good"]
    assert registry.plugin_of("good") == "registry_good"
    assert [line.split("'")[1] for line in registry.warnings] == ["registry_half", "registry_same"]
    assert "cannot be used: ValueError: two lines; mend or uninstall it" in registry.warnings[0]
    assert "two things are named 'one'" in registry.warnings[1]
    assert all("\n" not in line for line in registry.warnings)
