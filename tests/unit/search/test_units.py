"""A torch whose private calls are gone, raise or compute something else is one without quick units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from bench.search import Exact, exact, units
from bench.search.reference import search_float64
from bench.utils.random import Stream


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    for ask in (units.has_bf16_units, units.has_int8_units):
        ask.cache_clear()
    yield
    for ask in (units.has_bf16_units, units.has_int8_units):
        ask.cache_clear()


def raises(*_: Any, **__: Any) -> None:
    raise NotImplementedError("not in this version")


def saturates(queries: torch.Tensor, keys: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
    return out.copy_((queries.double() @ keys.double()).clamp(-32768, 32767))


def gone(patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    patch.delattr(owner, name, raising=False)


BROKEN: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no int8 product": lambda patch: gone(patch, torch, "_int_mm"),
    "a product that raises": lambda patch: patch.setattr(torch, "_int_mm", raises),
    "a product that saturates": lambda patch: patch.setattr(torch, "_int_mm", saturates),
    "one that cannot be told": lambda patch: gone(patch, torch.cpu, "_is_vnni_supported"),
    "a question that raises": lambda patch: patch.setattr(torch.cpu, "_is_vnni_supported", raises),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_without_a_right_int8_product_there_are_no_such_units_and_answers_stay(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    BROKEN[broken](monkeypatch)
    assert not units.has_int8_units()
    assert exact.Exact().search(torch.ones(300, 64), torch.ones(20_000, 64), 2).by != ("exact-int8",)
    left, right = torch.full((3, 70), 127, dtype=torch.int8), torch.full((5, 70), -127, dtype=torch.int8)
    found = torch.empty(3, 5, dtype=torch.int32)
    units.multiply_int8(left, right, found)
    assert bool((found == -70 * 127**2).all())
    keys = torch.from_numpy(Stream(0).child("keys").numpy().standard_normal((17_000, 16), dtype="float32"))
    queries = torch.nn.functional.normalize(keys[:5] + keys[5:10])
    assert torch.equal(Exact("int8").search(queries, keys, 3).positions, search_float64(queries, keys, 3)[0])


def test_without_the_private_questions_there_are_no_bfloat16_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert not units.has_bf16_units()


def test_units_are_told_by_the_questions_where_products_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch, "_int_mm", lambda a, b, *, out: out.copy_(a.double() @ b.double()))
    assert units.has_int8_units()
    units.has_int8_units.cache_clear()
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert not units.has_int8_units()
