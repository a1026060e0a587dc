"""Every registered method on the CPU against the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.core.registry import METHODS
from bench.core.task import Episode
from bench.data.glyphs.dataset import Size
from bench.runner.evaluate import Outcome
from bench.utils.errors import Unsuitable
from tools.gpu.draws import FEW, answers, brief, deal, glyphs, trains
from tools.gpu.running import reason_of
from tools.gpu.section import Deadline, Row

SCENARIOS = ("incremental", "web-zero-shot", "lifecycle")
CONFIDENCE = {False: 1e-3, True: 1e-2}
"""How far apart a confidence may be on two devices, by whether steps of an optimiser come before it, which multiply
the differences of float32 sums."""
DIFFERENT = 0.01
"""The share of answers that may differ: near-ties, which are decided by the last bits."""


@dataclass(frozen=True)
class Agreement:
    """How well two devices agree.

    Attributes
    ----------
    queries : int
        Over all sessions.
    different : int
        Of which the answers are not the same.
    confidence : float
        The largest difference of two confidences in the same answer.
    """

    queries: int
    different: int
    confidence: float

    @classmethod
    def of(cls, here: Sequence[Outcome], there: Sequence[Outcome]) -> Agreement:
        """Compare the sessions of one cell on two devices."""
        queries, different, confidence = 0, 0, 0.0
        for one, other in zip(here, there, strict=True):
            same = one.predictions == other.predictions
            queries, different = queries + len(same), different + int((~same).sum())
            apart = (one.confidences - other.confidences).abs()[same]
            confidence = max(confidence, float(apart.max()) if len(apart) else 0.0)
        return cls(queries, different, confidence)

    def problem(self, tolerance: float) -> str:
        """Return what does not hold; empty if all does."""
        if self.different > DIFFERENT * self.queries:
            return f"{self.different} of {self.queries} answers differ"
        return "" if self.confidence <= tolerance else f"confidences differ by {self.confidence:.2g} > {tolerance:g}"


def rows(
    device: str,
    deadline: Deadline,
    *,
    scenarios: Sequence[str] = SCENARIOS,
    names: Sequence[str] | None = None,
    size: Size = FEW,
    epochs: int = 3,
) -> Iterator[Row]:
    """Yield a row for each scenario and method, trained for a few epochs where it trains."""
    dataset = glyphs(size)
    dealt = {scenario: deal(scenario, dataset) for scenario in scenarios}
    wanted = METHODS.names() if names is None else names
    for pair in deadline.each([f"{scenario} {name}" for scenario in scenarios for name in wanted]):
        if isinstance(pair, Row):
            yield pair
            return
        scenario, _, name = pair.partition(" ")
        yield _row(scenario, name, dealt[scenario], device, epochs)


def _row(scenario: str, name: str, episode: Episode, device: str, epochs: int) -> Row:
    method = brief(name, epochs)
    tolerance = CONFIDENCE[trains(method)]
    about = {"scenario": scenario, "method": name}
    empty = {"queries": None, "other answers": None, "confidence differs by": None, "allowed": None}
    try:
        here = answers(method, episode, "cpu")
    except Unsuitable as reason:
        return Row({**about, **empty, "remark": str(reason)})
    try:
        found = Agreement.of(here, answers(method, episode, device))
    except Exception as error:
        return Row({**about, **empty, "remark": "failed"}, f"{name} in {scenario}: {reason_of(error)}")
    problem = found.problem(tolerance)
    return Row(
        {
            **about,
            "queries": found.queries,
            "other answers": found.different,
            "confidence differs by": found.confidence,
            "allowed": tolerance,
            "remark": "",
        },
        problem and f"{name} in {scenario}: {problem}",
    )
