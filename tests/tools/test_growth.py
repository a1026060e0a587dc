"""The tool that measures growth: what it deals, what it measures, and how it tells of what did not end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core.registry import METHODS
from tools import growth, growth_curve
from tools.growth_formulas import FORMULAS, largest_powers, powers


def test_a_task_has_as_many_images_of_every_class_and_a_text_for_each() -> None:
    task = growth.task(40, 4, 8)
    assert task.support.x.shape == (40, 8)
    assert task.support.labels.bincount().tolist() == [10] * 4
    assert task.prompts.labels.tolist() == [0, 1, 2, 3]
    assert torch.allclose(task.support.x.norm(dim=1), torch.ones(40), atol=1e-5)


@pytest.mark.parametrize("n", [40, 1000, 1200])
def test_there_are_as_many_queries_whatever_the_images(n: int) -> None:
    queries = growth.queries_of(growth.task(n, 4, 8))
    assert queries.shape == (1000, 8)
    assert len(queries.unique(dim=0)) == 1000


def test_a_measurement_says_seconds_and_bytes() -> None:
    found = growth.measured("protonet", (40, 4, 8))
    assert found["state"] == 4 * 8 * 8 + 4 * 8
    assert min(found["build"], found["score"], found["peak"]) >= 0


def test_what_did_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(names: list[str], sizes: list[growth.Size], limit: int) -> list[dict[str, Any]]:
        rows = [{"build": 0.1, "score": 0.01, "peak": 8 * growth.MIB, "state": 4 * growth.MIB} for _ in sizes]
        return rows if names == ["known"] else []

    monkeypatch.setattr(growth, "alone", told)
    table = growth.largest(["known", "late"], (100, 10, 8), 5)
    assert "| `known` | 0.1 s | 0.0 s | 4 MiB | 4 MiB |" in table
    assert "| `late` | more than 5 s, or than there is memory | | | |" in table


def test_a_process_of_its_own_measures_and_leaves_out_what_takes_too_long() -> None:
    small, large = (40, 4, 8), (6000, 20, 64)
    found = growth.alone(["proker", "protonet"], [small, large], 2)
    expected = [("proker", list(small)), ("protonet", list(small)), ("protonet", list(large))]
    assert [(row["method"], row["size"]) for row in found] == expected


def test_powers_are_those_of_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(names: list[str], sizes: list[growth.Size], limit: int, short: dict[str, Any]) -> list[dict[str, Any]]:
        rows = []
        # The largest number of images did not end.
        for n, c, d in (size for size in sizes if size[0] < 8000):
            taken = {"build": 1e-7 * n * d**2, "score": 1e-9 * c, "peak": 1000 * n * c, "state": 10}
            rows.append({"method": "slda", "size": [n, c, d], **taken})
        return rows

    monkeypatch.setattr(growth_curve, "alone", told)
    found = growth_curve.measured(["slda"], 5)
    own = [growth_curve.power(found["slda"], axis, "build") for axis in range(3)]
    assert own == pytest.approx([1, 0, 2], abs=1e-6)
    assert growth_curve.power(found["slda"], 1, "score") is None, "too short to tell"
    assert growth_curve.power(found["slda"], 1, "held") == pytest.approx(1)
    assert "1.0, 0.0, 2.0; n d^2 + d^3 + C d^2" in growth_curve.table(found)
    assert growth_curve.table({"slda": {}}).endswith(
        "| `slda` | - | - | -, -, -; n d^2 + d^3 + C d^2 | -, -, -; C d | -, -, -; d^2 + C d + n |"
    )


def test_methods_that_were_measured_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def told(names: list[str], sizes: list[growth.Size], limit: int, short: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(names)
        return [{"method": name, "size": sizes[0], "build": 1.0, "score": 1.0, "peak": 1, "state": 1} for name in names]

    monkeypatch.setattr(growth_curve, "alone", told)
    growth_curve.measured(["slda"], 5, tmp_path / "rows")
    found = growth_curve.measured(["gda", "slda"], 5, tmp_path / "rows")
    assert asked == [["slda"], ["gda"]]
    assert [*found] == ["gda", "slda"]
    assert all(one[growth_curve.MIDDLE]["build"] == 1 for one in found.values())


def test_a_measurement_that_dies_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert growth.alone(["no-such-method"], [(40, 4, 8)], 2) == []
    assert "the measurement ended before its end: " in capfd.readouterr().err


def test_formulas_are_read_as_powers() -> None:
    assert powers("n d^2 + C^3 + d") == [(1, 0, 2), (0, 3, 0), (0, 0, 1)]
    assert largest_powers("n d^2 + C^3 + d") == (1, 3, 2)


def test_every_method_has_a_formula() -> None:
    plain = {name for name in METHODS.names() if not METHODS.get(name).preset and name != "sklearn"}
    assert set(FORMULAS) == plain | {"tip-adapter-f"}


def test_the_table_says_which_constants_are_smaller_than_by_default() -> None:
    lines = growth_curve.table({"klda": {}, "tip-adapter-f": {}, "slda": {}}).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [
        "| `klda`, width = 256",
        "| `tip-adapter-f`, epochs = 1",
        "| `slda`",
    ]


def test_every_method_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/growth.md").read_text()
    rows = {line.split("`")[1] for line in page.partition("## Against")[2].splitlines() if line.startswith("| `")}
    assert rows == set(FORMULAS)


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    row = {"size": growth_curve.MIDDLE, "build": 1.0, "score": 1.0, "peak": 1 << 30, "state": 1}
    sizes = growth_curve.sizes()
    growth_curve.draw({"slda": {size: {**row, "size": size} for size in sizes}}, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
