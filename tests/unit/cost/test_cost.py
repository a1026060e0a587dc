"""The meter: FLOPs, memory and energy by phase; what is stored; and the report's tables of them."""

import json
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bench import run
from bench.core.features import Features
from bench.core.memory import Items
from bench.core.state_bytes import StateBytes, nbytes
from bench.cost import peak_memory
from bench.cost.flops import search_flops
from bench.cost.meter import PHASES, Meter, Repeats, charge_flops, counted_as, metered, phase, uncounted
from bench.functional.logistic_regression import Linear
from bench.learning.incremental_net import Net
from bench.reports.figures.cost_tradeoffs import front
from bench.reports.metrics import cost
from bench.reports.sections.cost import engineering
from bench.search import Exact, Index
from bench.search.neighbours import Neighbours
from tests import toy

A = torch.ones(4, 8)
STEP = 2 * 4 * 8 * 4
"""FLOPs of A A'."""


def step() -> None:
    _ = A @ A.T


def test_an_operation_is_counted_in_one_phase_only() -> None:
    meter = Meter()
    with metered(meter), phase("score"):
        step()
        with phase("retrieve"):
            step()
            step()
        step()
        step()
    assert meter.flops["score", "product"] == 3 * STEP
    assert meter.flops["retrieve", "product"] == 2 * STEP
    assert meter.columns()["build_flops"] == 0


def test_nothing_is_counted_outside_a_meter_or_where_it_is_not_wanted() -> None:
    meter = Meter()
    with metered(meter), phase("build"):
        with uncounted():
            step()
            with uncounted():
                step()
        step()
    step()
    assert meter.phase_flops("build") == STEP


def test_a_counter_comes_back_after_an_error() -> None:
    meter = Meter()
    with metered(meter), phase("build"):
        with pytest.raises(ValueError, match="no"), uncounted():
            raise ValueError("no")
        step()
    assert meter.phase_flops("build") == STEP
    with pytest.raises(ValueError, match="no"), metered(meter):
        raise ValueError("no")
    step()
    assert meter.phase_flops("build") == STEP


def test_what_repeats_is_counted_once_and_charged_every_time() -> None:
    seen = []
    meter, repeats = Meter(), Repeats()
    with metered(meter), phase("train"):
        for key in ("a", "b", "a", "a", "b"):
            with repeats.like(key):
                seen.append(meter.counts)
                charge_flops(7)
                for _ in range(1 if key == "a" else 2):
                    step()
    assert seen == [True, True, False, False, False]
    assert meter.flops["train", "product"] == (3 + 2 * 2) * STEP
    # A formula costs nothing to charge, so it is charged where it applies.
    assert meter.flops["train", "formula"] == 5 * 7


def test_a_block_of_known_flops_is_charged_those_in_the_phase_that_is_open() -> None:
    meter, seen = Meter(), []
    with metered(meter):
        with phase("build"), counted_as(products=100, elementwise=30):
            seen.append(meter.counts)
            step()
            with counted_as(products=7):
                step()
        with phase("score"):
            step()
    assert seen == [False]
    # What a block within such a block takes is in the number of the outer one.
    assert (meter.flops["build", "product"], meter.flops["build", "elementwise"]) == (100, 30)
    assert meter.columns()["elementwise_flops"] == 30
    assert meter.phase_flops("score") == STEP


def test_a_block_of_known_flops_that_fails_is_not_charged() -> None:
    meter = Meter()
    with metered(meter), phase("build"):
        with pytest.raises(ValueError, match="no"), counted_as(products=100):
            raise ValueError("no")
        step()
    assert meter.phase_flops("build") == STEP


def test_repeats_within_repeats_add_up() -> None:
    meter, outer, inner = Meter(), Repeats(), Repeats()
    with metered(meter), phase("train"):
        for _ in range(3):
            with outer.like("epoch"):
                for _ in range(4):
                    with inner.like("batch"):
                        step()
    assert meter.phase_flops("train") == 12 * STEP


def test_a_search_is_charged_alike_to_all_who_ask() -> None:
    keys, queries = torch.randn(50, 8), torch.randn(6, 8)
    index = Index(keys)
    costs = []
    for k in (3, 3, 2, 5):
        meter = Meter()
        with metered(meter), phase("score"):
            index.search(queries, k)
        columns = meter.columns()
        costs.append((columns["retrieve_flops"], columns["score_flops"], columns["formula_flops"]))
    expected = 6 * 50 * (2 * 8 + 1) + 3 * 8 * 56
    assert costs == [(expected, 0, expected)] * 4


@pytest.mark.parametrize(("around", "counted"), [("train", "train"), ("build", "build"), ("score", "retrieve")])
def test_a_search_counts_where_it_is_made(around: str, counted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that moves only while there is a search: a real one would tell of a busy machine too.
    now, search = [0.0], Exact.search

    def takes_a_second(*arguments: Any) -> Neighbours:
        now[0] += 1
        return search(*arguments)

    monkeypatch.setattr(Exact, "search", takes_a_second)
    for module in ("bench.cost.meter", "bench.search.index"):
        monkeypatch.setattr(f"{module}.time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    keys, queries = torch.randn(50, 8), torch.randn(6, 8)
    index, meter = Index(keys), Meter()
    with metered(meter):
        for _ in range(2):
            with phase(around):
                index.search(queries, 3)
    assert {name: meter.phase_flops(name) for name in PHASES if meter.phase_flops(name)} == {
        counted: 2 * (6 * 50 * (2 * 8 + 1) + 3 * 8 * 56)
    }
    assert {name: seconds for name, seconds in meter.seconds.items() if seconds} == {counted: 2.0}


def test_retrieval_of_a_trained_method_is_that_of_the_queries_alone() -> None:
    records = run("web-zero-shot", ["knn", "mml"], [toy.dataset()], seeds=1).frame.set_index("method")
    # Two classes of the toy are asked about, with eight images and three texts each.
    q, images, texts = int(records.loc["knn", "n_queries"]), 2 * 8, 2 * 3
    assert records.loc["knn", "memory_items"] == images + texts
    by_branch = [search_flops(q, m, toy.DIMENSION) for m in (images, texts)]
    assert records["retrieve_flops"].to_dict() == {"knn": by_branch[0], "mml": sum(by_branch)}
    assert records.loc["mml", "train_flops"] > 1000 * records.loc["mml", "retrieve_flops"]


def test_flops_that_nobody_knows_are_null() -> None:
    meter = Meter()
    with metered(meter), phase("build"):
        step()
        charge_flops(None)
    columns = meter.columns()
    assert columns["build_flops"] is None
    assert columns["score_flops"] == 0


def test_an_engine_that_is_not_exact_leaves_retrieval_unknown() -> None:
    from bench.search import engine, top_k

    class Other:
        name = "other"

        def search(self, queries: torch.Tensor, keys: torch.Tensor, k: int) -> Any:
            return top_k(queries, keys, k)

    meter = Meter()
    with metered(meter), phase("score"), engine(Other()):
        Index(torch.randn(20, 4)).search(torch.randn(2, 4), 1)
    assert meter.columns()["retrieve_flops"] is None


@pytest.mark.skipif(not peak_memory.reset() or peak_memory.cpu_peak() is None, reason="the system tells no peaks")
def test_the_peak_of_a_phase_is_its_own() -> None:
    # In a process of its own: what other tests left behind may go at any time, and hide what is added.
    code = """
import json
import numpy as np
from bench.cost import peak_memory
from bench.cost.meter import Meter, metered, phase
meter = Meter()
with metered(meter):
    with phase("build"):
        before = peak_memory.cpu_peak()
        big = np.ones(8 << 20)
        with phase("retrieve"):
            pass
        del big
    with phase("score"):
        pass
print(json.dumps([before, meter.cpu_peaks, meter.columns()["train_peak_bytes"]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, found, train = json.loads(done.stdout)
    assert found["build"] > before + (48 << 20)
    assert found["score"] < found["build"] - (32 << 20)
    assert "train" not in found
    assert train is None


def test_peaks_are_null_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(peak_memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(peak_memory, "_RESET", tmp_path / "none" / "none")
    meter = Meter()
    with metered(meter), phase("build"):
        pass
    assert meter.columns()["build_peak_bytes"] is None
    assert meter.columns()["build_peak_gpu_bytes"] is None


def test_a_peak_that_cannot_begin_anew_is_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(peak_memory, "_RESET", tmp_path / "none" / "none")
    meter = Meter()
    with metered(meter), phase("build"):
        pass
    assert meter.columns()["build_peak_bytes"] is None


def test_gpu_peaks_and_energy_are_read_by_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    allocated, energy = iter([0, 10, 700, 30]), iter([1000, 3500])
    driver = types.ModuleType("pynvml")
    driver.NVMLError = RuntimeError  # type: ignore[attr-defined]
    driver.nvmlInit = lambda: None  # type: ignore[attr-defined]
    driver.nvmlDeviceGetHandleByUUID = lambda uuid: uuid  # type: ignore[attr-defined]
    driver.nvmlDeviceGetTotalEnergyConsumption = lambda handle: next(energy)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(peak_memory, "_on_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: next(allocated))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: types.SimpleNamespace(uuid="u"))
    next(allocated)
    meter = Meter()
    with metered(meter), phase("score"), phase("retrieve"):
        pass
    columns = meter.columns()
    assert columns["retrieve_peak_gpu_bytes"] == 700
    assert columns["score_peak_gpu_bytes"] == 30
    assert columns["gpu_joules"] == 2.5


def test_no_driver_no_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_on_gpu", lambda: True)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert peak_memory.gpu_joules() is None


def test_stored_bytes_add_up_and_are_told_apart() -> None:
    names = ("a", "b")
    kept = Features(torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64), np.array(["x", "y", "z"]), names)
    items = Items.of_features(kept, "web")
    linear = Linear(torch.zeros(2, 4), torch.zeros(2))
    net = Net(torch.zeros(5, 4), torch.zeros(5), torch.zeros(4, 5), torch.zeros(2, 4), torch.zeros(2))
    own = Features(torch.zeros(6, 4), torch.zeros(6, dtype=torch.int64), np.array(list("abcdef")), names)
    state = {"items": items, "again": items, "net": net, "linear": linear, "means": torch.zeros(2, 4), "kept": own}
    found = StateBytes.of(state)
    assert found.memory == 3 * 4 * 4 + 3 * 8
    assert found.exemplars == 6 * 4 * 4 + 6 * 8
    assert found.weights == nbytes(net) + nbytes(linear)
    assert found.statistics == 0
    assert found.unknown == 2 * 4 * 4, "nothing says what a tensor in a dict is"
    assert found.memory + found.exemplars + found.weights + found.unknown == nbytes(state)
    # What the harness carries is told too, but not what the state holds already.
    assert StateBytes.of(state, own) == found
    more = Features(torch.zeros(7, 4), torch.zeros(7, dtype=torch.int64), np.array(list("abcdefg")), names)
    assert StateBytes.of(state, more).exemplars == found.exemplars + 7 * 4 * 4 + 7 * 8


# -- the report --------------------------------------------------------------------------------------------------------


def records(**changes: Any) -> pd.DataFrame:
    rows = []
    for session in (0, 1):
        row: dict[str, Any] = {"cell": "c", "session": session, "n_queries": 10 * (session + 1)}
        row |= {f"{p}_seconds": 1.0 for p in ("train", "build", "retrieve", "score")}
        row |= {f"{p}_flops": 300.0 * (session + 1) for p in ("train", "build", "retrieve", "score")}
        row |= {"score_peak_bytes": 5 + session, "build_peak_bytes": 9 - session, "encoder_flops": 77}
        row |= {"elementwise_flops": 1, "formula_flops": 2, "gpu_joules": None, "state_bytes": 100 + session}
        row |= {"memory_bytes": 40 + session, "exemplars": None}
        rows.append(row | {key: values[session] for key, values in changes.items()})
    return pd.DataFrame(rows)


def test_costs_of_a_cell_are_sums_peaks_and_last_values() -> None:
    row = cost.per_cell(records()).loc["c"]
    assert row["train_flops"] == 900
    assert row["build_seconds"] == 2
    assert row["answer_flops_per_query"] == 1800 / 30
    assert row["peak_bytes"] == 9
    assert row["memory_bytes"] == 41
    assert row["encoder_flops"] == 77
    assert np.isnan(row["gpu_joules"])
    assert np.isnan(row["peak_gpu_bytes"])


def test_a_session_that_was_not_measured_makes_the_sum_unknown() -> None:
    row = cost.per_cell(records(build_flops=[300.0, None])).loc["c"]
    assert np.isnan(row["build_flops"])
    assert row["score_flops"] == 900


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.0, "12"),
        (999.0, "999"),
        (1000.0, "1.00 k"),
        (8817623040.0, "8.82 G"),
        (999_999.0, "1.00 M"),
        (45_600.0, "45.6 k"),
        (0.25, "0.25"),
        (float("nan"), "-"),
    ],
)
def test_large_numbers_are_shown_with_three_digits(value: float, text: str) -> None:
    assert engineering(value) == text


def test_a_cost_nobody_knows_is_not_on_the_front() -> None:
    found = front(np.array([1.0, np.nan, 2.0, 3.0]), np.array([0.5, 0.9, 0.7, 0.6]))
    assert found.tolist() == [True, False, True, False]


def test_edits_are_told_with_their_seconds_and_flops() -> None:
    frame = records(build_flops=[300.0, 800.0]).assign(
        scenario="lifecycle",
        dataset="d",
        condition="{}",
        method="knn",
        session_kind=["built", "forgotten"],
        notes=['{"edit": "none"}', '{"edit": "remove", "items_added": 0, "items_removed": 4}'],
    )
    (row,) = cost.edits(frame).to_dict("records")
    assert row["edit"] == "remove"
    assert (row["build_seconds"], row["build_flops"], row["changed"]) == (1.0, 800.0, 4)
    assert not len(cost.edits(frame.assign(notes=None)))
