"""Trainings in bfloat16 beside those in float32, on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.core.registry import METHODS
from bench.core.task import Episode
from bench.data.glyphs.dataset import Size
from bench.device.precision import TrainingPrecision
from bench.learning.training_options import TrainingOptions
from bench.runner.evaluate import Outcome
from bench.utils.errors import Unsuitable
from tools.gpu.draws import FEW, answers, brief, deal, glyphs, trains
from tools.gpu.every_method import Agreement
from tools.gpu.running import reason_of
from tools.gpu.section import Cell, Deadline, Row


def rows(
    device: str,
    deadline: Deadline,
    *,
    scenario: str = "incremental",
    names: Sequence[str] | None = None,
    size: Size = FEW,
    epochs: int = 10,
) -> Iterator[Row]:
    """Yield a row for each method that trains by steps; nothing is held to a bound but that both run."""
    episode = deal(scenario, glyphs(size))
    every = METHODS.names() if names is None else names
    for name in deadline.each([name for name in every if trains(brief(name, epochs))]):
        if isinstance(name, Row):
            yield name
            return
        try:
            yield _row(name, episode, device, epochs)
        except Unsuitable as reason:
            yield Row({"method": name, "remark": str(reason)})
        except Exception as error:
            yield Row({"method": name, "remark": "failed"}, f"{name}: {reason_of(error)}")


def _row(name: str, episode: Episode, device: str, epochs: int) -> Row:
    method = brief(name, epochs)
    found: dict[str, list[Outcome]] = {}
    precisions: tuple[TrainingPrecision, ...] = ("fp32", "bf16")
    for precision in precisions:
        found[precision] = answers(method, episode, device, TrainingOptions(precision=precision))
    cells: dict[str, Cell] = {"method": name}
    for name_of, outcomes in found.items():
        cells[f"accuracy {name_of}, %"] = 100 * _accuracy(outcomes)
    agreement = Agreement.of(found["fp32"], found["bf16"])
    cells["other answers, %"] = 100 * agreement.different / agreement.queries
    cells["confidence differs by"] = agreement.confidence
    for name_of, outcomes in found.items():
        cells[f"seconds {name_of}"] = sum(o.cost["train_seconds"] + o.cost["build_seconds"] for o in outcomes)
    return Row({**cells, "remark": ""})


def _accuracy(outcomes: Sequence[Outcome]) -> float:
    right = sum(int((o.ranks == 0).sum()) for o in outcomes)
    return right / sum(len(o.ranks) for o in outcomes)
