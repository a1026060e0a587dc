"""What a sweep changes, on cells whose answer is known by thought."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.report import build
from bench.reports.sections.sweeps import table
from bench.reports.statistics.designs import SEEDS
from bench.reports.statistics.estimates import Design, Estimate, of_differences
from bench.reports.statistics.sweep_changes import ALL, changes
from tests.statistics.runs import make_run

RATES = (0.0, 0.2, 0.4)


def condition(rate: float) -> str:
    return json.dumps({"noise": "symmetric", "rate": rate})


def cells(losses: dict[str, float], datasets: tuple[str, ...] = ("a",)) -> pd.DataFrame:
    noise = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "scenario": "label-noise",
            "dataset": dataset,
            "condition": condition(rate),
            "method": method,
            "seed": seed,
            "cell": f"{dataset}/{method}/{rate}/{seed}",
            "accuracy": 0.9 - loss * rate / 0.4 + 0.01 * noise.standard_normal(),
        }
        for dataset in datasets
        for rate in RATES
        for method, loss in losses.items()
        for seed in range(5)
    )


def same(given: pd.DataFrame) -> dict[str, str]:
    """Return fingerprints as if all cells of a data set had the same queries."""
    return dict(zip(given["cell"], given["dataset"], strict=True))


def paired(changed: np.ndarray) -> Estimate:
    """Return the estimate of the changes [s, q] of queries that seeds share."""
    return of_differences(list(changed), Design(shared=True, overlap=0.0, over=SEEDS))


def answers(hits: np.ndarray, fingerprint: str) -> PairedPredictions:
    right = hits.astype(bool)
    n = len(right)
    labels = np.zeros(n, dtype=np.int64)
    ids = np.array([f"q{i}" for i in range(n)], dtype=object)
    ranks, sets = np.where(right, 0, 5), np.full(n, np.nan)
    return PairedPredictions(ids, labels, 1 - right.astype(np.int64), right, np.ones(n), ranks, sets, fingerprint)


def predicted(
    rates: dict[str, tuple[float, float]], sizes: dict[str, int], rng: np.random.Generator, seeds: int = 5
) -> tuple[pd.DataFrame, list[Group], dict[tuple[str, str], np.ndarray]]:
    """Return cells with answers at both ends, and the change of each query [s, q] by data set and method."""
    rows, groups, changed = [], [], {}
    for dataset, n in sizes.items():
        easy = rng.normal(0, 0.15, n)
        by_end: list[dict[str, dict[int, PairedPredictions]]] = [{}, {}]
        for method, ends in rates.items():
            hits = [[rng.random(n) < np.clip(rate + easy, 0, 1) for _ in range(seeds)] for rate in ends]
            changed[dataset, method] = np.stack(hits[1]).astype(float) - np.stack(hits[0])
            for end, rate in enumerate((0.0, 0.4)):
                of = by_end[end].setdefault(method, {})
                for seed in range(seeds):
                    of[seed] = answers(hits[end][seed], dataset)
                    cell = f"{dataset}/{method}/{rate}/{seed}"
                    row = ("label-noise", dataset, condition(rate), method, seed, cell, hits[end][seed].mean())
                    rows.append(row)
        groups += [
            Group("label-noise", dataset, condition(rate), of) for rate, of in zip((0.0, 0.4), by_end, strict=True)
        ]
    columns = ["scenario", "dataset", "condition", "method", "seed", "cell", "accuracy"]
    return pd.DataFrame(rows, columns=columns), groups, changed


def test_without_predictions_a_change_is_over_seeds_and_p_is_scipys() -> None:
    given = cells({"robust": 0.0, "fragile": 0.3})
    found, said = changes(given, [], same(given))
    found = found.set_index("method")
    ends = given[~given["condition"].str.contains("0.2")].pivot_table(
        index=["method", "seed"], columns="condition", values="accuracy"
    )
    change = ends.iloc[:, 1] - ends.iloc[:, 0]
    assert found.loc["fragile", "change"] == pytest.approx(change["fragile"].mean())
    assert found.loc["fragile", "p"] == pytest.approx(stats.ttest_rel(change["fragile"], change["robust"]).pvalue)
    assert np.isnan(found.loc["robust", "p"])
    assert found.loc["fragile", "low"] < -0.3 < found.loc["fragile", "high"] or found.loc["fragile", "high"] < -0.2
    assert (found["swept"] == "rate").all()
    assert (found["over"] == "new seeds, these queries").all()
    assert not said


def test_with_predictions_a_change_is_paired_by_query_as_comparisons_are() -> None:
    given, groups, changed = predicted({"x": (0.8, 0.7), "y": (0.8, 0.6)}, {"a": 200}, np.random.default_rng(1))
    found = changes(given, groups, same(given))[0].set_index("method")
    for method in "xy":
        whole = paired(changed["a", method])
        assert found.loc[method, ["change", "low", "high"]].tolist() == pytest.approx(
            [whole.mean, whole.low, whole.high]
        )
    assert found.loc["y", "p"] == pytest.approx(paired(changed["a", "y"] - changed["a", "x"]).p)
    assert (found["over"] == SEEDS).all()


def test_a_seed_without_predictions_leaves_seeds_alone() -> None:
    given, groups, changed = predicted({"x": (0.8, 0.7)}, {"a": 50}, np.random.default_rng(1))
    del groups[1].predictions["x"][3]
    (row,) = changes(given, groups, same(given))[0].to_dict("records")
    assert row["over"] == "new seeds, these queries"
    assert row["seeds"] == 5
    assert row["change"] == pytest.approx(changed["a", "x"].mean())


def test_seeds_with_other_queries_are_left_out_and_said() -> None:
    given = cells({"x": 0.1, "y": 0.2})
    queries = same(given) | {f"a/x/0.4/{seed}": "others" for seed in (1, 2)}
    found, said = changes(given, [], queries)
    kept = given[(given["method"] == "x") & ~given["seed"].isin((1, 2))]
    means = kept.groupby("condition")["accuracy"].mean()
    row = found.set_index("method").loc["x"]
    assert row["seeds"] == 3
    assert [row["first"], row["last"]] == pytest.approx([means[condition(0.0)], means[condition(0.4)]])
    assert said == [
        "x on a had other queries at the largest rate of label-noise than at the least in 2 seeds, which are left out "
        "of what the sweep changes"
    ]
    none, said = changes(given, [], {cell: cell for cell in queries})
    assert none.empty
    assert len(said) == 2
    assert table(none) is None


def test_methods_of_other_queries_have_no_p() -> None:
    given = cells({"x": 0.1, "y": 0.2})
    found, _ = changes(given, [], {cell: cell[:3] for cell in given["cell"]})
    assert found["p"].isna().all()
    assert found["low"].notna().all()


def test_several_data_sets_have_a_row_of_their_mean() -> None:
    given = cells({"x": 0.1, "y": 0.2}, ("a", "b", "c"))
    found, _ = changes(given, [], same(given))
    over_all = found[found["dataset"] == f"{ALL} 3"].set_index("method")["change"]
    each = found[~found["dataset"].str.startswith(ALL)].groupby("method")["change"].mean()
    pd.testing.assert_series_equal(over_all.sort_index(), each.sort_index())


def test_the_mean_over_data_sets_of_unequal_size_weighs_them_alike() -> None:
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(20):
        given, groups, changed = predicted({"x": (0.9, 0.5)}, {"a": 40, "b": 400}, rng)
        row = changes(given, groups, same(given))[0].set_index("dataset").loc[f"{ALL} 2"]
        assert row["over"] == SEEDS
        assert row["change"] == pytest.approx((changed["a", "x"].mean() + changed["b", "x"].mean()) / 2)
        # Independent errors of two data sets add up: se^2 = (se_a^2 + se_b^2) / 4.
        bounds = [paired(changed[dataset, "x"]) for dataset in "ab"]
        errors = [(e.high - e.low) / (2 * 1.96) for e in bounds]
        ratios.append((row["high"] - row["low"]) / (1.96 * np.hypot(*errors)))
    # The errors of the parts hold Student's t of few seeds already.
    assert 0.8 < np.mean(ratios) < 1.2


def test_the_interval_of_the_mean_over_data_sets_covers() -> None:
    rng = np.random.default_rng(3)
    truth = np.mean([np.clip(0.6 + e, 0, 1) - np.clip(0.8 + e, 0, 1) for e in rng.normal(0, 0.15, 100_000)])
    hits = 0
    for _ in range(200):
        given, groups, _ = predicted({"x": (0.8, 0.6)}, {"a": 60, "b": 120}, rng, seeds=3)
        row = changes(given, groups, same(given))[0].set_index("dataset").loc[f"{ALL} 2"]
        hits += row["low"] <= truth <= row["high"]
    # 95 % promised; 1.6 points is the standard error of 200 repetitions.
    assert hits >= 181


def test_a_method_that_misses_a_data_set_is_not_in_the_mean() -> None:
    given = cells({"x": 0.1, "y": 0.2}, ("a", "b"))
    found, _ = changes(given[~((given["dataset"] == "b") & (given["method"] == "y"))], [], same(given))
    assert found[found["dataset"].str.startswith(ALL)]["method"].tolist() == ["x"]


def test_the_ends_are_the_outermost_values_that_all_methods_have() -> None:
    given = cells({"x": 0.1, "y": 0.2, "alone": 0.0})
    fewer = given["condition"].eq(condition(0.0)) & given["method"].eq("y")
    one = given["condition"].ne(condition(0.4)) & given["method"].eq("alone")
    found, said = changes(given[~fewer & ~one], [], same(given))
    assert sorted(found["method"]) == ["x", "y"]
    assert set(zip(found["least"], found["largest"], strict=True)) == {(0.2, 0.4)}
    means = given.groupby(["method", "condition"])["accuracy"].mean()
    assert found.set_index("method").loc["x", "first"] == pytest.approx(means["x", condition(0.2)])
    assert said == [
        "alone on a was not asked at both ends of label-noise, rate 0.2 and 0.4, so it is not in what the sweep changes"
    ]
    shown = table(found)
    assert shown is not None
    assert "swept rate 0.2 to 0.4 (noise symmetric)" in shown.caption


def test_data_sets_that_have_a_value_each_are_no_sweep() -> None:
    given = cells({"x": 0.1, "y": 0.2}, ("a", "b"))
    own = given["condition"].eq(given["dataset"].map({"a": condition(0.0), "b": condition(0.2)}))
    found, said = changes(given[own], [], same(given))
    assert found.empty
    assert said == []


def test_methods_without_two_values_in_common_are_left_out_and_said() -> None:
    given = cells({"x": 0.1, "y": 0.2})
    kept = ~(given["condition"].eq(condition(0.4)) & given["method"].eq("x"))
    kept &= ~(given["condition"].eq(condition(0.0)) & given["method"].eq("y"))
    found, said = changes(given[kept], [], same(given))
    assert found.empty
    assert len(said) == 2
    assert table(found) is None


def test_nothing_swept_gives_no_table() -> None:
    given = cells({"x": 0.1})
    assert table(changes(given[given["condition"].str.contains('"rate": 0.2')], [], same(given))[0]) is None
    shown = table(changes(given, [], same(given))[0])
    assert shown is not None
    assert len(shown.rows) == 1


def test_one_seed_without_predictions_has_no_interval_and_no_p() -> None:
    given = cells({"x": 0.1, "y": 0.2})
    found, _ = changes(given[given["seed"] == 0], [], same(given))
    assert found[["low", "high", "p"]].isna().all().all()
    assert (found["over"] == "nothing").all()
    assert table(found) is not None


def test_a_report_pairs_the_queries_of_a_sweep(tmp_path) -> None:
    swept = tuple({"rate": rate} for rate in RATES)
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.9}, conditions=swept, sessions=1, per=4)
    build([folder], tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "sweeps.csv")
    assert (found["over"] == SEEDS).all()
    assert "over seeds and queries where these have predictions" in (tmp_path / "out" / "report.md").read_text()
    for path in (folder / "predictions").iterdir():
        path.unlink()
    build([folder], tmp_path / "bare")
    assert (pd.read_csv(tmp_path / "bare" / "sweeps.csv")["over"] == "new seeds, these queries").all()
