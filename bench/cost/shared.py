"""Work that cells of a run have in common: done once, and charged to every cell that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor

from bench.cost.kept import Kept, kept_for_cells
from bench.cost.meter import Work, meter_in_force


def shared(key: Hashable, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return the tensors that ``make`` makes, or the very ones that it made when an earlier cell asked.

    Every cell is charged the seconds, the processor time and the FLOPs of whoever asked first, in the phase that is
    open; so its cost does not depend on its neighbours in a run. Outside a cell of a run, and in a phase of which
    nothing is measured, they are made anew. Nobody may write to them: what was written to is made anew.

    Parameters
    ----------
    key : hashable
        All that the values depend on, by the :func:`name_of` of tensors.
    make : callable
        It opens no phase, and has nothing charged by formula.
    """
    kept: Kept[Work] | None = kept_for_cells()
    meter = meter_in_force()
    if kept is None or meter is None:
        return make()
    known = kept.find(key)
    if known is not None and meter.charge_again(known.cost):
        return known.tensors
    made, work = meter.measured(make)
    kept.keep(key, made, work)
    return made


def name_of(tensor: Tensor) -> Hashable:
    """Return what stands for a tensor that is kept for cells, by itself or as an unchanged private copy; else None."""
    kept = kept_for_cells()
    return None if kept is None else kept.name(tensor)
