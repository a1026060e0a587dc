"""What a sweep changes, on cells whose answer is known by thought."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.sweeps import ALL, changes, table


def cells(losses: dict[str, float], datasets: tuple[str, ...] = ("a",)) -> pd.DataFrame:
    noise = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "scenario": "label-noise",
            "dataset": dataset,
            "condition": json.dumps({"noise": "symmetric", "rate": rate}),
            "method": method,
            "seed": seed,
            "accuracy": 0.9 - loss * rate / 0.4 + 0.01 * noise.standard_normal(),
        }
        for dataset in datasets
        for rate in (0.0, 0.2, 0.4)
        for method, loss in losses.items()
        for seed in range(5)
    )


def test_a_change_is_last_less_first_and_p_is_scipys() -> None:
    given = cells({"robust": 0.0, "fragile": 0.3})
    found = changes(given).set_index("method")
    ends = given[~given["condition"].str.contains("0.2")].pivot_table(
        index=["method", "seed"], columns="condition", values="accuracy"
    )
    change = ends.iloc[:, 1] - ends.iloc[:, 0]
    assert found.loc["fragile", "change"] == pytest.approx(change["fragile"].mean())
    assert found.loc["fragile", "p"] == pytest.approx(stats.ttest_rel(change["fragile"], change["robust"]).pvalue)
    assert np.isnan(found.loc["robust", "p"])
    assert found.loc["fragile", "low"] < -0.3 < found.loc["fragile", "high"] or found.loc["fragile", "high"] < -0.2
    assert (found["swept"] == "rate").all()


def test_several_data_sets_have_a_row_of_their_mean() -> None:
    found = changes(cells({"x": 0.1, "y": 0.2}, ("a", "b", "c")))
    over_all = found[found["dataset"] == f"{ALL} 3"].set_index("method")["change"]
    each = found[~found["dataset"].str.startswith(ALL)].groupby("method")["change"].mean()
    pd.testing.assert_series_equal(over_all.sort_index(), each.sort_index())


def test_a_method_that_misses_a_data_set_is_not_in_the_mean() -> None:
    given = cells({"x": 0.1, "y": 0.2}, ("a", "b"))
    found = changes(given[~((given["dataset"] == "b") & (given["method"] == "y"))])
    assert found[found["dataset"].str.startswith(ALL)]["method"].tolist() == ["x"]


def test_nothing_swept_gives_no_table() -> None:
    given = cells({"x": 0.1})
    assert table(changes(given[given["condition"].str.contains('"rate": 0.2')])) is None
    shown = table(changes(given))
    assert shown is not None
    assert len(shown.rows) == 1


def test_one_seed_has_no_interval_and_no_p() -> None:
    given = cells({"x": 0.1, "y": 0.2})
    found = changes(given[given["seed"] == 0])
    assert found[["low", "high", "p"]].isna().all().all()
    assert table(found) is not None
