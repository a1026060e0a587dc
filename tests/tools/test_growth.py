"""The tool that measures growth: what it deals, what it measures, and how it tells of what did not end."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tools import growth


def test_a_task_has_as_many_images_of_every_class_and_a_text_for_each() -> None:
    task = growth.task(40, 4, 8)
    assert task.support.x.shape == (40, 8)
    assert task.support.labels.bincount().tolist() == [10] * 4
    assert task.prompts.labels.tolist() == [0, 1, 2, 3]
    assert torch.allclose(task.support.x.norm(dim=1), torch.ones(40), atol=1e-5)


def test_a_measurement_says_seconds_and_bytes() -> None:
    found = growth.measured("protonet", (40, 4, 8))
    assert found["state"] == 4 * 8 * 8 + 4 * 8
    assert min(found["build"], found["score"], found["peak"]) >= 0


def test_times_as_much_is_told_of_four_times_n_c_and_d(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(name: str, sizes: list[growth.Size], limit: float) -> list[dict[str, Any]]:
        if name == "late":
            return []
        return [
            {"build": n * 1e-3, "score": c * 1e-3, "peak": d * growth.MIB, "state": d * growth.MIB // 2}
            for n, c, d in sizes
        ]

    monkeypatch.setattr(growth, "alone", told)
    table = growth.curves(["known", "late"], (100, 10, 8), 5)
    assert "| `known` | 0.10 s, 0.01 s | 4.0 + 4 MiB | 4.0, 1.0; 1.0 | 1.0, 4.0; 1.0 | 1.0, 1.0; 4.0 |" in table
    assert "| `late` | more than 5 s, or not for such a task | | | | |" in table
    assert "| `known` | 0.1 s | 0.0 s | 4 MiB | 4 MiB |" in growth.largest(["known", "late"], (100, 10, 8), 5)


def test_a_process_of_its_own_measures_and_is_ended_in_time() -> None:
    (found,) = growth.alone("protonet", [(40, 4, 8)], 60)
    assert found["state"] == 288
    assert growth.alone("protonet", [(40, 4, 8)], 0.01) == []
