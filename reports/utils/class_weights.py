"""What the neighbours of a query weigh together, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.explain.scene import Answer


def class_weights(answer: Answer) -> dict[str, list[tuple[int, float]]]:
    """Return, by branch, the summed weight of the neighbours of each class, largest first."""
    found: dict[str, dict[int, float]] = {}
    for near in answer.evidence.neighbours if answer.evidence else ():
        branch = found.setdefault(near.branch, {})
        branch[near.label] = branch.get(near.label, 0.0) + near.weight
    return {branch: sorted(sums.items(), key=lambda entry: (-entry[1], entry[0]))[:5] for branch, sums in found.items()}
