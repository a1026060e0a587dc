"""What a sweep takes outside its methods (planning, dealing, checks, records) as a share of the whole.

pytest tests/speed/test_overhead.py --benchmark-only -s     # prints the share
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bench.meter import PHASES
from bench.planning import prepare
from bench.records import read_records
from bench.runner import execute

METHODS = ("knn", "protonet", "simplecil", "slda", "ranpac", "linear-probe", "icarl", "mml")


def sweep(folder: Path, methods: tuple[str, ...], data: Path | str) -> tuple[float, float]:
    """Return the seconds of a sweep of one seed, planning included, and those inside its methods."""
    start = time.perf_counter()
    run = prepare(methods=methods, data=[data], seeds=1, out=folder)
    execute(run)
    whole = time.perf_counter() - start
    records = read_records(run.folder)
    return whole, float(records[[f"{phase}_seconds" for phase in PHASES]].sum().sum())


@pytest.mark.benchmark(group="seconds outside methods, incremental sweep of 8 methods on digits")
@pytest.mark.parametrize("methods", [METHODS, ("protonet",)], ids=["all", "only_protonet"])
def test_share_outside_methods(benchmark: Any, tmp_path: Path, methods: tuple[str, ...]) -> None:
    """On digits sessions are tiny, so the share is far above that on data sets of a usual size."""
    folders = iter(tmp_path / str(n) for n in range(100))
    whole, inside = benchmark.pedantic(lambda: sweep(next(folders), methods, "digits"), rounds=1, warmup_rounds=1)
    benchmark.extra_info |= {"whole": whole, "outside": whole - inside, "share": 1 - inside / whole}
    print(f"\n{','.join(methods)}: {whole - inside:.2f} of {whole:.2f} s outside methods, {1 - inside / whole:.1%}")
    assert 0 < inside < whole
