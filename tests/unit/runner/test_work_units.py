"""Work units and shards of a run's cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.runner.parallel.work_units import Shard, work_units
from bench.utils.errors import BenchError
from tests.unit.runner.runs import cells

deals_of = st.tuples(st.integers(1, 12), st.integers(1, 7)).map(
    lambda size: [{f"m{m}": f"{hash((d, m)) % 10**8:08d}-{d}-{m}" for m in range(size[1])} for d in range(size[0])]
)


@given(deals_of, st.integers(1, 9), st.randoms())
def test_pieces_hold_every_unfinished_cell_once_and_keep_workers_busy(deals, workers, random) -> None:  # type: ignore[no-untyped-def]
    every = [cell for deal in deals for cell in deal.values()]
    finished = set(random.sample(every, random.randint(0, len(every))))
    work = work_units(deals, finished, workers)
    assert sorted(cells(work)) == sorted(set(every) - finished)
    assert all(unit.cells.items() <= deals[unit.episode].items() for unit in work)
    left = len([deal for deal in deals if set(deal.values()) - finished])
    whole = left // workers * workers
    assert [p.episode for p in work[:whole]] == sorted({p.episode for p in work})[:whole], (
        "a deal was split without need"
    )


@given(deals_of, st.integers(1, 9))
def test_shards_share_the_cells_out_evenly(deals, count) -> None:  # type: ignore[no-untyped-def]
    parts = [Shard(n, count).of(deals) for n in range(1, count + 1)]
    sizes = [sum(map(len, part)) for part in parts]
    assert sorted(c for part in parts for deal in part for c in deal.values()) == sorted(
        c for deal in deals for c in deal.values()
    )
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match=r"is not NUMBER/COUNT; write 1/8 to 8/8"):
        Shard.parse(text)
