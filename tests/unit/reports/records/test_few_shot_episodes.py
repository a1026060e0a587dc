"""Few-shot episodes in a report: averaged, with an interval over episodes, and no curve."""

import numpy as np
import pandas as pd
import pytest

from bench.reports.metrics.count_stacks import stacks
from bench.reports.metrics.definitions import METRICS
from bench.reports.metrics.per_query import macro_f1
from bench.reports.records.paired_predictions import groups
from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from tests.statistics.runs import make_run

EPISODES = 40
CONDITION = {"way": 3, "shots": 1}


def episodes(folder, seeds=(0, 1)):
    return make_run(
        folder,
        {"low": 0.4, "high": 0.7},
        seeds=seeds,
        sessions=EPISODES,
        per=3,
        queries=5,
        episodes=True,
        conditions=(CONDITION,),
        scenario="few-to-many-shot",
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return episodes(tmp_path_factory.mktemp("episodes") / "r")


@pytest.fixture(scope="module")
def out(run):
    build([run], run.parent / "out")
    return run.parent / "out"


@pytest.fixture(scope="module")
def by_episode(run):
    """Accuracy of each method, seed and episode, from the predictions alone."""
    rows = pd.concat(pd.read_parquet(path) for path in (run / "records").iterdir())
    p = pd.concat(pd.read_parquet(path) for path in (run / "predictions").iterdir())
    p = p.merge(rows[["cell", "method", "seed"]].drop_duplicates(), on="cell")
    return p.assign(right=p["label"] == p["prediction"])


def test_scores_are_means_over_episodes(run, out, by_episode):
    seeds = pd.read_csv(out / "summary.csv").query("seed != 'mean'").astype({"seed": int})
    seeds = seeds.set_index(["method", "seed"]).sort_index()
    key = ["method", "seed"]
    accuracy = by_episode.groupby([*key, "session"])["right"].mean().groupby(key).mean()
    parts = by_episode.groupby([*key, "session"])
    f1 = parts.apply(lambda p: macro_f1(p["label"].to_numpy(), p["prediction"].to_numpy())).groupby(key).mean()
    assert seeds["accuracy"].to_numpy() == pytest.approx(accuracy.to_numpy(), abs=1e-6)
    group = next(groups(read_runs([run])))
    predictions = group.predictions["low"][0]
    assert METRICS["macro_f1"].from_predictions(predictions) == pytest.approx(f1.loc["low", 0])
    assert METRICS["mean_class_recall"].from_predictions(predictions) == pytest.approx(accuracy.loc["low", 0])
    assert seeds["mean_class_recall"].to_numpy() == pytest.approx(accuracy.to_numpy(), abs=1e-6)
    assert seeds["macro_f1"].to_numpy() == pytest.approx(f1.to_numpy(), abs=1e-6)
    assert (seeds["episodes"] == EPISODES).all()
    assert (seeds["n_queries"] == EPISODES * 15).all()
    # Three classes: every answer is in the top five. No session follows on another: nothing is forgotten.
    assert seeds[["top5_accuracy", "forgetting", "average_incremental_accuracy"]].isna().all(axis=None)


def test_one_seed_has_the_interval_over_its_episodes(tmp_path):
    folder = episodes(tmp_path / "r", seeds=(0,))
    text = build([folder], tmp_path / "out")
    assert "the interval shown is over its episodes alone" in text
    assert "over queries alone" not in text
    mean = pd.read_csv(tmp_path / "out" / "summary.csv").query("seed == 'mean' and method == 'high'").iloc[0]
    group = next(groups(read_runs([folder])))
    values = group.predictions["high"][0].per_query_accuracy
    assert len(values) == EPISODES
    # About that of Student's t with 39 degrees of freedom, 2.0227; near a border it is longer on the side with room.
    half = 2.0227 * values.std(ddof=1) / np.sqrt(EPISODES)
    assert mean["accuracy_high"] - mean["accuracy_low"] == pytest.approx(2 * half, rel=0.1)
    assert mean["accuracy_low"] < values.mean() < mean["accuracy_high"]
    assert mean["over"] == "new episodes of these classes, this seed"


def test_methods_are_compared_episode_by_episode(out, by_episode):
    found = pd.read_csv(out / "comparisons.csv").iloc[0]
    table = by_episode.pivot_table("right", ["seed", "session"], "method")
    gap = (table["high"] - table["low"]).groupby("seed").mean()
    assert found["difference"] == pytest.approx(gap.mean(), abs=1e-6)
    assert found["queries"] == EPISODES
    assert found["over"] == "new episodes of these classes and new seeds"
    assert found["low"] < found["difference"] < found["high"]
    assert found["verdict"] == "better"


def test_no_curve_and_no_forgetting_are_drawn(run, out):
    kinds = {path.stem.rsplit("-", 1)[-1] for path in (out / "figures").iterdir()}
    assert "cost" in kinds
    assert not kinds & {"curve", "forgetting"}
    assert list(stacks(read_runs([run]).records)) == []


def test_episodes_stand_beside_sessions_of_another_scenario(run, tmp_path):
    make_run(tmp_path / "runs" / "inc", {"low": 0.4}, run="inc")
    episodes(tmp_path / "runs" / "few")
    build([tmp_path / "runs"], tmp_path / "out")
    summary = pd.read_csv(tmp_path / "out" / "summary.csv").query("seed == 'mean'").set_index("scenario")
    assert np.isnan(summary.loc["incremental", "episodes"])
    assert summary.loc["incremental", "forgetting"] == summary.loc["incremental", "forgetting"]
    assert (summary.loc["few-to-many-shot", "episodes"] == EPISODES).all()
    assert len(list((tmp_path / "out" / "figures").glob("*-curve.svg"))) == 1
