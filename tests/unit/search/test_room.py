"""How much a search takes at a time of a device, and what it does on a full one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest
import torch

from bench.search import gpu, room, top_k
from bench.search.room import Room, in_room
from bench.utils.errors import BenchError, Notice
from tests.parity.test_search_certified import brute_force, draw

HERE = torch.device("cpu")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor counts as lying on a processor; 64 MiB are taken at a time."""
    monkeypatch.setattr(room, "_PROCESSOR", "none")
    monkeypatch.setattr(room, "_PLAIN", 64 << 20)
    monkeypatch.setattr(room, "_crowded", set())


def failing(monkeypatch: pytest.MonkeyPatch, above: int) -> list[int]:
    """Let a search run out of memory in rooms of more than some bytes; return the rooms it had."""
    rooms, search = [], gpu.search

    def full(q: torch.Tensor, keys: torch.Tensor, k: int, room: Room) -> tuple[torch.Tensor, torch.Tensor]:
        rooms.append(room.nbytes)
        if room.nbytes > above:
            raise torch.OutOfMemoryError
        return search(q, keys, k, room)

    monkeypatch.setattr(gpu, "search", full)
    return rooms


def test_a_full_card_halves_the_block_once_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = failing(monkeypatch, 32 << 20)
    queries, keys = draw(5, 16, "queries"), draw(300, 16, "keys")
    with pytest.warns(Notice, match="cpu has too little memory for blocks of 64 MiB; searches go on .* of 32 MiB"):
        found = top_k(queries, keys, 4)
    assert torch.equal(found.positions, brute_force(queries, keys, 4)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        top_k(queries, keys, 4)
    assert rooms == [64 << 20, 32 << 20, 32 << 20]


def test_a_card_too_full_for_half_a_block_is_a_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = failing(monkeypatch, 0)
    queries, keys = draw(5, 16, "queries"), draw(300, 16, "keys")
    for tries in (2, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if tries == 2 else "error")
            with pytest.raises(BenchError, match=r"^cpu is full: .* of 32 MiB .*--device cpu$"):
                top_k(queries, keys, 4)
        assert len(rooms) == tries


@pytest.mark.parametrize(
    ("free", "reserved", "allocated", "expected"),
    [(8 << 30, 0, 0, 2 << 30), (1 << 30, 2 << 30, 1 << 30, 512 << 20), (100 << 30, 0, 0, 2 << 30)],
)
def test_blocks_are_a_quarter_of_what_is_free(
    free: int, reserved: int, allocated: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {card: (free, 100 << 30)}[device])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: {card: reserved}[device])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: {card: allocated}[device])
    assert Room.of(card).nbytes == expected
    room._crowded.add(card)
    assert Room.of(card).nbytes == expected // 2


@pytest.mark.parametrize("error", [RuntimeError, AssertionError])
def test_a_device_that_does_not_tell_has_plain_blocks(error: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: torch.device) -> Sequence[int]:
        raise error

    monkeypatch.setattr(torch.cuda, "mem_get_info", refuse)
    assert Room.of(torch.device("cuda")).nbytes == Room.of(HERE).nbytes == 64 << 20
    assert in_room(torch.device("cuda"), lambda room: room.rows(1 << 40)) == 1
