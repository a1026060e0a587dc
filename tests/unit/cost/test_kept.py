"""What a process keeps of one cell for the next: within a bound, of one group, as it was made, and idle or in use."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from bench.cost import peak_memory
from bench.cost.kept import Kept, idle_bytes, kept_for_cells
from bench.device.copies import private

KIB = 1 << 10


def kept(limit: int = 64 * KIB, *, several: bool = True) -> Kept[str]:
    made: Kept[str] = Kept(limit)
    made.begin("group", several=several)
    return made


def numbers(kib: int, value: float = 1.0) -> torch.Tensor:
    return torch.full((kib, KIB // 4), value)


def test_equal_queries_of_two_episodes_are_one() -> None:
    there, first, equal, other = kept(), numbers(2), numbers(2), numbers(2)
    other[1, 3] = 2.0
    assert there.same(first) is first
    assert there.same(equal) is first
    assert there.same(other) is other
    assert there.same(numbers(3)) is not first


def test_an_unchanged_copy_has_the_name_of_its_original_and_a_changed_one_none() -> None:
    there, queries = kept(), numbers(1)
    there.same(queries)
    copy = private(queries)
    assert there.name(copy) == there.name(queries) is not None
    copy += 1
    assert there.name(copy) is None
    queries += 1
    assert there.name(queries) is None
    assert there.same(numbers(1)) is not queries


def test_what_was_written_to_is_not_found_and_can_be_kept_anew() -> None:
    there, made = kept(), numbers(40)
    there.keep("features", (made,), "dear")
    found = there.find("features")
    assert found is not None
    assert (found.tensors[0], found.cost) == (made, "dear")
    made += 1
    assert there.find("features") is None
    again = numbers(40)
    there.keep("features", (again,), "dear")
    found = there.find("features")
    assert found is not None
    assert found.tensors == (again,)


def test_no_more_is_kept_than_the_bound_and_nothing_is_thrown_out_for_it() -> None:
    there = kept()
    there.keep("a", (numbers(40),), "")
    there.keep("b", (numbers(25),), "")
    there.keep("c", (numbers(24),), "")
    assert [there.find(key) is not None for key in "abc"] == [True, False, True]
    assert there.same(numbers(1)) is not there.same(numbers(1))


def test_a_gpu_that_is_full_keeps_less(monkeypatch: pytest.MonkeyPatch) -> None:
    there = kept()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (16 * 8 * KIB, 0))
    card = SimpleNamespace(type="cuda")
    for size, fits in ((9, False), (8, True)):
        assert there._room((SimpleNamespace(device=card, nbytes=size * KIB),)) is fits  # type: ignore[arg-type]


def test_another_group_begins_with_nothing_and_one_cell_alone_keeps_nothing() -> None:
    there = kept()
    there.keep("a", (numbers(1),), "")
    there.begin("group", several=True)
    assert there.find("a") is not None
    there.begin("another", several=True)
    assert there.find("a") is None
    alone = kept(several=False)
    alone.keep("a", (numbers(1),), "")
    assert alone.find("a") is None
    assert alone.same(numbers(1)) is not alone.same(numbers(1))


def test_idle_is_what_the_cell_has_not_asked_for() -> None:
    there = kept()
    there.same(numbers(2))
    with there.for_a_cell():
        assert kept_for_cells() is there
        there.keep("a", (numbers(8),), "")
        there.keep("b", (numbers(4),), "")
        assert idle_bytes("cpu") == 0
    there.begin("group", several=True)
    with there.for_a_cell():
        assert (idle_bytes("cpu"), idle_bytes("cuda")) == (14 * KIB, 0)
        there.find("a")
        there.same(numbers(2))
        assert idle_bytes("cpu") == 4 * KIB
    there.clear()
    assert there.idle("cpu") == 0
    assert kept_for_cells() is None
    assert idle_bytes("cpu") == 0


@pytest.mark.skipif(not peak_memory.reset() or peak_memory.cpu_peak() is None, reason="the system tells no peaks")
def test_the_peak_of_a_cell_has_what_it_asked_for_and_not_what_is_kept_for_others() -> None:
    # In a process of its own: what other tests left behind may go at any time, and hide what is added.
    code = """
import torch
from bench.cost.kept import Kept
from bench.cost.meter import Meter, metered, phase
from bench.cost.shared import shared

def peak(*keys):
    meter = Meter()
    with there.for_a_cell(), metered(meter), phase("score"):
        for key in keys:
            shared(key, lambda: (torch.ones(16 << 20),))
    return meter.cpu_peaks["score"] >> 20

there = Kept()
there.begin("group", several=True)
before = peak()
print(before, peak("a"), peak(), peak("a"), peak("b", "a"), peak("b"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, *found = map(int, done.stdout.split())
    assert [round((peak - before) / 64) for peak in found] == [1, 0, 1, 2, 1]
