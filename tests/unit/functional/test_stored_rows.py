"""Rows that are made when they are asked for are those that are made at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.functional import blocks, principal_axes, stored_rows
from bench.functional.classwise import class_means, normalise, unit_rows
from bench.functional.stored_rows import MadeRows, blocks_of, only
from bench.methods import lp_plus_plus, text_knn, tip_x
from bench.utils.random import Stream
from tests.parity._naive import make
from tools.growth import task


def made(x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> MadeRows:
    with monkeypatch.context() as patch:
        patch.setattr(stored_rows, "_WHOLE", 0)
        rows = unit_rows(x)
    assert isinstance(rows, MadeRows)
    return rows


def test_parts_and_parts_of_parts_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.from_numpy(Stream(0).numpy().standard_normal((50, 6))).half()
    rows, whole = made(x, monkeypatch), unit_rows(x)
    assert isinstance(whole, torch.Tensor)
    assert rows.shape == whole.shape
    assert torch.equal(rows[7:20], whole[7:20])
    mask, at = torch.arange(50) % 3 == 1, torch.tensor([4, 0, 4])
    assert torch.equal(rows[mask], whole[mask])
    part = only(rows, mask)
    assert len(part) == int(mask.sum())
    assert torch.equal(part[at], whole[mask][at])
    assert torch.equal(only(part, at)[:], whole[mask][at])
    monkeypatch.setattr(stored_rows, "_BLOCK", 7 * 6)
    assert [len(block) for _, block in blocks_of(rows)] == [7] * 7 + [1]
    assert torch.equal(torch.cat([block for _, block in blocks_of(rows)]), whole)
    assert torch.equal(class_means(rows, torch.arange(50) % 4, 4), class_means(whole, torch.arange(50) % 4, 4))


TRAINED: dict[str, dict[str, Any]] = {
    "linear-probe": {},
    "lp++": {"epochs": 30},
    "real-linear": {"passes": 2},
    "cross-modal-probe": {"steps": 50},
    "clap": {"epochs": 3},
    "tip-adapter-f": {"epochs": 2},
    "icarl": {"epochs": 2},
    "lwf": {"epochs": 2},
    "replay": {"epochs": 2},
    "foster": {"epochs": 2},
    "proof": {"epochs": 1},
    "rapf": {"epochs": 2},
    "mml": {"adapt": "always", "adapt_epochs": 2},
    "ape": {},
    "tip-x": {},
    "text-knn": {},
    "neural-priming": {},
}
EXTENDED = ("icarl", "replay", "foster")


@pytest.mark.parametrize("name", TRAINED)
def test_methods_answer_alike_however_much_they_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held whole, and all is done on a few rows at a time."""
    whole, queries = task(54, 6, 24), normalise(task(54, 6, 24).support.x[::4] + 0.05)
    half = replace(whole, support=replace(whole.support, x=whole.support.x.half()))
    method = make(name, **TRAINED[name])

    def scores() -> torch.Tensor:
        with torch.random.fork_rng():
            state = method.build(half, rng=Stream(0))
            # The old answers are a part of the training of a further session.
            state = method.extend(state, half, rng=Stream(1)) if name in EXTENDED else state
        with torch.no_grad():
            found: torch.Tensor = method.score(state, queries).double()
        return found

    held = scores()
    monkeypatch.setattr(stored_rows, "_WHOLE", 0)
    monkeypatch.setattr(stored_rows, "_BLOCK", 10 * 24)
    monkeypatch.setattr(principal_axes, "_HELD", 0)
    monkeypatch.setattr(blocks, "_NUMBERS", 5 * 54)
    monkeypatch.setattr(lp_plus_plus, "_LOGITS", 10 * 24)
    monkeypatch.setattr(tip_x, "_BLOCK", 10 * 24)
    monkeypatch.setattr(tip_x, "_PAIRS", 7 * 10)
    monkeypatch.setattr(text_knn, "_AT_ONCE", 7)
    torch.testing.assert_close(scores(), held, rtol=1e-3, atol=1e-3 * float(held.abs().max()))
