"""Cost of a piece of work as a value that can be kept: what a training's checkpoint holds of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spent:
    """Cost by phase.

    Attributes
    ----------
    seconds : dict
        Seconds by phase.
    flops : dict
        FLOPs by phase and, within it, kind.
    cpu_peaks, gpu_peaks : dict
        The largest number of bytes by phase.
    unknown : tuple of str
        Phases in which something ran whose FLOPs nobody knows.
    joules : float or None
        Energy of all phases together.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    flops: dict[str, dict[str, int]] = field(default_factory=dict)
    cpu_peaks: dict[str, int] = field(default_factory=dict)
    gpu_peaks: dict[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    joules: float | None = None

    @staticmethod
    def of(
        seconds: Mapping[str, float],
        flops: Mapping[tuple[str, str], int],
        cpu_peaks: Mapping[str, int],
        gpu_peaks: Mapping[str, int],
        unknown: Iterable[str],
        joules: float | None,
    ) -> Spent:
        """Return the cost that a meter has added up."""
        by_phase: dict[str, dict[str, int]] = {}
        for (name, kind), count in flops.items():
            by_phase.setdefault(name, {})[kind] = count
        return Spent(dict(seconds), by_phase, dict(cpu_peaks), dict(gpu_peaks), tuple(sorted(unknown)), joules)

    def since(self, start: Spent) -> Spent:
        """Return what was spent after ``start``, an earlier reading of the same meter; peaks are those of all time."""
        return Spent(
            {name: value - start.seconds.get(name, 0.0) for name, value in self.seconds.items()},
            {
                name: {kind: count - start.flops.get(name, {}).get(kind, 0) for kind, count in kinds.items()}
                for name, kinds in self.flops.items()
            },
            self.cpu_peaks,
            self.gpu_peaks,
            self.unknown,
            None if self.joules is None else self.joules - (start.joules or 0.0),
        )
