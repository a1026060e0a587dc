"""Sessions after the first go on from trained weights, and stop sooner."""

from __future__ import annotations

from typing import Any

import pytest

from bench.learning.modular.training import Training
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.scenarios.incremental import Incremental
from tests import toy
from tests.parity._naive import make
from tests.scenarios.dealt import deals


def test_sessions_after_the_first_have_a_patience_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, episode),) = deals(Incremental(), toy.dataset())
    given: list[int | None] = []
    plain = Training.fit

    def fit(self: Training, *args: Any, patience: int | None, **options: Any) -> Any:
        given.append(patience)
        return plain(self, *args, patience=patience, **options)

    monkeypatch.setattr(Training, "fit", fit)
    method = make("mml", patience=4, extend_patience=1, adapt_epochs=6)
    outcomes = run_cell(method, Handover(episode, 0), label="mml").outcomes
    assert given == [4, *(1 for _ in episode.sessions[1:])]
    # At most one epoch after the best, of which the start counts as one try.
    assert all(o.configurations - 1 <= o.details["epoch"] + 1 for o in outcomes[1:])
