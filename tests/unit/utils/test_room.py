"""What is too large is refused before it is made, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.functional import symmetric
from bench.methods import proker
from bench.utils import room
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from bench.utils.room import free_bytes, require_room
from tests.parity._naive import make
from tools.growth import task

CPU = torch.device("cpu")


def system(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, available: int, groups: dict[str, tuple[str, str]]
) -> None:
    """Make up what the system tells: KiB that are available, and the limit and the use of control groups."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available} kB\n")
    (folder / "proc/self/cgroup").write_text("0::/job/step\n")
    for name, (most, used) in groups.items():
        (folder / "groups" / name).mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name / "memory.max").write_text(f"{most}\n")
        (folder / "groups" / name / "memory.current").write_text(f"{used}\n")
    monkeypatch.setattr(room, "_PROC", folder / "proc")
    monkeypatch.setattr(room, "_GROUPS", folder / "groups")
    monkeypatch.setattr(room, "_address_space", lambda: None)


def test_the_least_of_machine_and_groups_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {"job/step": ("max", "5000"), "job": ("9000", "5000")}
    system(tmp_path, monkeypatch, available=1000, groups=groups)
    assert free_bytes() == 4000
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 3 kB\n")
    assert free_bytes() == 3 * 1024
    (tmp_path / "groups/job/memory.current").write_text("9999\n")
    assert free_bytes() == 0


def test_a_limit_of_addresses_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PROC", tmp_path)
    monkeypatch.setattr(room, "_GROUPS", tmp_path)
    assert free_bytes() in (None, room._address_space())
    (tmp_path / "self").mkdir()
    (tmp_path / "self/statm").write_text("10 5 1 1 0 4 0\n")
    page = room.os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(room.resource, "getrlimit", lambda _: (25 * page, 25 * page))
    assert free_bytes() == 15 * page


def test_what_is_too_large_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda: 1 << 30)
    require_room(1 << 30, what="it", instead="wait", device=CPU)
    require_room(1 << 40, what="it", instead="wait", device=torch.device("cuda"))
    with pytest.raises(BenchError, match=r"^it takes 2 GiB of memory and 1 GiB are free; wait$"):
        require_room(1 << 31, what="it", instead="wait", device=CPU)
    monkeypatch.setattr(room, "free_bytes", lambda: None)
    require_room(1 << 40, what="it", instead="wait", device=CPU)


@pytest.mark.parametrize("name", ["proker", "ranpac", "klda", "rapf", "zlap-inductive"])
def test_methods_refuse_before_they_build(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda: 100)
    method = make(name)
    with pytest.raises(BenchError, match=r"takes .* GiB of memory and .* free; .*(give|lower)") as told:
        method.build(task(20, 4, 8), rng=Stream(0))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("settings", [{}, {"beta": 2.0, "penalty": 0.1}])
def test_proker_answers_alike_where_its_system_is_never_whole(
    settings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, method = task(60, 5, 12), make("proker", grid_steps=3, **settings)
    whole = method.build(given, rng=Stream(0))
    monkeypatch.setattr(proker, "WHOLE", 0)
    monkeypatch.setattr(symmetric, "_SIDE", 7)
    parts = method.build(given, rng=Stream(0))
    assert (parts.beta, parts.penalty) == (whole.beta, whole.penalty)
    torch.testing.assert_close(parts.weights, whole.weights, rtol=1e-6, atol=1e-6)
