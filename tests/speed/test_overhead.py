"""What the harness itself costs: a sweep outside its methods, and the counting of FLOPs inside them.

pytest tests/speed/test_overhead.py --benchmark-only -s                 # prints shares and ratios
BENCH_SPEED_DATA=packs/flowers pytest tests/speed/test_overhead.py ...  # on a pack of your own as well

All in processor time, so that other work on the machine does not count.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.cost import meter
from bench.cost.flops import Counter
from bench.cost.meter import PHASES
from bench.results.run_folder import read_records
from bench.runner.config import RunConfig
from bench.runner.deal import deal_episode
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.runner.loop import execute
from bench.runner.plan import plan
from bench.utils.random import Stream
from tests.speed.quiet import QUIET

CHEAP = ("knn", "protonet", "simplecil", "slda")
METHODS = (*CHEAP, "ranpac", "linear-probe", "icarl", "mml")
COUNTED = (*CHEAP, "gda", "fecam", "linear-probe")
OWN = os.environ.get("BENCH_SPEED_DATA")
TURNS = 9


def flowers_like() -> Dataset:
    """Return random unit vectors in the shape of Oxford Flowers with 16 shots: 102 classes, d = 512, 2463 queries."""
    names = tuple(f"class {c}" for c in range(102))
    random = Stream(0).child("flowers-like").numpy()
    centres = random.standard_normal((102, 512))

    def split(name: str, labels: np.ndarray) -> Features:
        x = centres[labels] + 2 * random.standard_normal((len(labels), 512))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        ids = np.array([f"{name}/{n}" for n in range(len(labels))])
        return Features(torch.from_numpy(x).float(), torch.from_numpy(labels), ids, names)

    return Dataset(
        card=Card(name="flowers-like", revision="1", encoder="random", space="random"),
        class_names=names,
        splits={
            "train": split("train", np.repeat(np.arange(102), 16)),
            "test": split("test", np.arange(2463) % 102),
        },
        roles={"support": ("train",), "query": ("test",)},
        prompts=Features.empty(512, names),
        memory=Memory.empty(512),
    )


def data_of(name: str) -> Dataset | str:
    return flowers_like() if name == "flowers-like" else name


DATA = ["digits", "flowers-like", *([OWN] if OWN else [])]


def sweep(folder: Path, methods: tuple[str, ...], data: Dataset | str) -> tuple[float, float]:
    """Return the processor seconds of a sweep of one seed, planning included, and those inside its methods."""
    start = time.process_time()
    run = plan(RunConfig(methods=methods, data=[data], seeds=1, out=folder))
    execute(run)
    whole = time.process_time() - start
    records = read_records(run.folder)
    return whole, float(records[[f"{phase}_seconds" for phase in PHASES]].sum().sum())


@pytest.mark.benchmark(group="incremental sweep, whole")
@pytest.mark.parametrize("methods", [METHODS, CHEAP], ids=["eight_methods", "only_cheap_ones"])
@pytest.mark.parametrize("name", DATA)
def test_share_outside_methods(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, methods: tuple[str, ...], name: str
) -> None:
    """On digits sessions are tiny, so the share is far above that on data sets of a usual size."""
    if len(methods) > len(CHEAP) and name != "digits" and not QUIET:
        pytest.skip("takes minutes; set BENCH_FULL_SPEED=1")
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    data, folders = data_of(name), iter(tmp_path / str(n) for n in range(100))
    # The first sweep imports what is imported when it is needed.
    rounds = [] if benchmark.disabled else [sweep(next(folders), methods, data) for _ in range(3)][1:]
    rounds.append(benchmark.pedantic(lambda: sweep(next(folders), methods, data), rounds=1))
    whole, inside = min(rounds, key=lambda pair: pair[0] - pair[1])
    benchmark.extra_info |= {"whole": whole, "outside": whole - inside, "share": 1 - inside / whole}
    print(
        f"\n{name}, {','.join(methods)}: {whole - inside:.2f} of {whole:.2f} s, {1 - inside / whole:.1%}, are outside"
    )
    assert 0 < inside < whole


class Silent(Counter):
    """A counter that sees nothing and costs nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@contextmanager
def counting(kind: type[Counter]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "Counter", kind)
        yield


@pytest.mark.benchmark(group="cell, FLOPs counted")
@pytest.mark.parametrize("method", COUNTED)
@pytest.mark.parametrize("name", DATA)
def test_what_counting_costs(benchmark: Any, tmp_path: Path, name: str, method: str) -> None:
    """Cells with and without the counter take turns; medians, so that a disturbed turn does not count."""
    if method not in CHEAP and name != "digits":
        pytest.skip("takes long")
    run = plan(RunConfig(methods=[method], data=[data_of(name)], seeds=1, out=tmp_path))
    episode, recipe = deal_episode(run.episodes[0]), run.methods[0].recipe

    def cell(kind: type[Counter]) -> tuple[float, int]:
        """Return the seconds of a cell and what it was charged."""
        with counting(kind):
            start = time.process_time()
            outcomes = run_cell(recipe, Handover(episode, 0), label=method).outcomes
            taken = time.process_time() - start
        return taken, sum(outcome.cost["elementwise_flops"] for outcome in outcomes)

    assert cell(Counter)[1] > cell(Silent)[1], "the counter of the comparison counts nothing"
    taken: dict[type[Counter], list[float]] = {Counter: [], Silent: []}
    for _ in range(1 if benchmark.disabled else TURNS):
        for kind, times in taken.items():
            times.append(cell(kind)[0])
    benchmark.pedantic(lambda: cell(Counter), rounds=1)
    with_, without = (statistics.median(times) for times in taken.values())
    benchmark.extra_info |= {"counted": with_, "not_counted": without, "ratio": with_ / without}
    print(f"\n{name}, {method}: {1000 * with_:.1f} ms counted, {1000 * without:.1f} not, ratio {with_ / without:.2f}")
