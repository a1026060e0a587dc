"""Choosing under a budget: the front, the best with what is tied, the next step, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.reports.analysis import Analysis
from bench.reports.choosing.budgets import UNITS, Budget, Choice, Option, choices
from bench.reports.choosing.front import front_of
from bench.reports.choosing.words import in_short, sentence
from bench.reports.metrics.definitions import METRICS
from bench.reports.statistics.table_marks import shown_worse
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run

METHODS = {"tiny": (0.3, 0.01, 4), "small": (0.8, 0.1, 4), "twin": (0.8, 0.05, 4), "large": (0.97, 5.0, 16)}
"""Rate of right answers, milliseconds, and labelled images a class, by method."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for method, (rate, ms, labels) in METHODS.items():
        common = {"sessions": 1, "per": 4, "queries": 60, "conditions": ({"shots": 4},)}
        make_run(folder / method, {method: rate}, run=method, answer_1_ms=ms, labels_seen=4 * labels, **common)
    return folder


@pytest.fixture(scope="module")
def analysis(runs: Path) -> Analysis:
    return Analysis.of([runs])


def chosen(analysis: Analysis, **limits: float) -> Choice:
    (made,) = choices(analysis, Budget(**limits))[0]
    return made


def test_the_best_is_the_most_accurate_that_keeps_every_limit(analysis: Analysis) -> None:
    free = chosen(analysis)
    assert free.best is not None
    assert free.best.method == "large"
    assert free.next_step is None
    for limits in ({"ms": 1.0}, {"labels": 4.0}, {"ms": 1.0, "labels": 4.0, "mib": 1.0}):
        made = chosen(analysis, **limits)
        assert made.best is not None
        assert made.best.method in ("small", "twin")
        assert made.next_step is not None
        assert made.next_step.method == "large"
    tightest = chosen(analysis, ms=0.01)
    assert tightest.best is not None
    assert tightest.best.method == "tiny"


def test_tied_is_what_the_tests_of_those_that_keep_it_do_not_show_to_be_worse(analysis: Analysis) -> None:
    made = chosen(analysis, ms=1.0)
    assert made.best is not None
    assert {made.best.method, *(option.method for option in made.tied)} == {"small", "twin"}
    (group,) = analysis.fair_groups
    worse = shown_worse(group, [option.method for option in made.kept], made.best.method, METRICS["accuracy"])
    assert worse == {"tiny"}


def test_the_next_step_is_the_one_that_exceeds_the_budget_least(analysis: Analysis) -> None:
    made = chosen(analysis, ms=0.01)
    assert made.next_step is not None
    assert made.next_step.method == "twin"
    assert made.next_step.excess(Budget(ms=0.01)) == pytest.approx(5.0)
    assert made.gain is not None
    assert made.gain.low > 0


def test_the_front_is_of_those_that_keep_the_budget(analysis: Analysis) -> None:
    made = chosen(analysis, ms=1.0)
    on = {option.method for option in made.options if option.on_front}
    best = max(("small", "twin"), key=lambda m: next(o.accuracy for o in made.options if o.method == m))
    assert on == {"tiny", "twin", best}


def test_the_front_of_several_costs_agrees_with_its_definition() -> None:
    rng = np.random.default_rng(0)
    costs, accuracy = rng.integers(0, 4, (40, 2)).astype(float), rng.integers(0, 4, 40).astype(float)
    costs[3, 1] = np.nan
    expected = []
    for i in range(40):
        no_worse = (costs <= costs[i]).all(1) & (accuracy >= accuracy[i])
        better = (costs < costs[i]).any(1) | (accuracy > accuracy[i])
        expected.append(not (no_worse & better).any() and not np.isnan(costs[i]).any())
    assert front_of(costs, accuracy).tolist() == expected


def test_sentences_name_the_choice_the_ties_and_the_price(analysis: Analysis) -> None:
    said = sentence(chosen(analysis, ms=1.0), Budget(ms=1.0))
    assert "choose " in said
    assert "not shown to be worse" in said
    assert "the next step is large, +" in said
    assert "5.00 times what is allowed" in said
    assert sentence(chosen(analysis), Budget()).endswith("all others that keep the budget are shown to be worse.")


def test_a_report_is_answered_in_three_sentences(analysis: Analysis) -> None:
    which, sure, cost = in_short(choices(analysis, Budget())[0])
    assert which.startswith("large has the highest accuracy")
    assert sure == "That it is the best is shown against every other method (paired, after Holm's correction)."
    assert "It takes 5 ms" in cost
    assert "tiny, the quickest" in cost


def test_a_quicker_method_that_is_shown_to_be_worse_is_not_denied() -> None:
    kept = {"best": (0.9, 2.0, False), "as good": (0.89, 3.0, True), "quick and worse": (0.5, 0.1, False)}
    made = [
        Option(method=m, accuracy=a, low=a, high=a, costs=dict.fromkeys(UNITS, 1.0) | {"ms": ms}, keeps=True, tied=tied)
        for m, (a, ms, tied) in kept.items()
    ]
    choice = Choice(scenario="s", dataset="d", condition="", options=tuple(made), best=made[0])
    assert in_short([choice])[2].endswith("; none of those as good answers sooner.")


def test_a_method_that_is_as_accurate_is_said_to_be() -> None:
    made = [
        Option(method=m, accuracy=0.9, low=0.8, high=1.0, costs=dict.fromkeys(UNITS, ms), keeps=True, tied=True)
        for m, ms in (("first", 1.0), ("second", 2.0))
    ]
    choice = Choice(scenario="s", dataset="d", condition="", options=tuple(made), best=made[0])
    assert in_short([choice])[0] == "first has the highest accuracy, 90.0 [80.0, 100.0] %; second has the same."


def test_nothing_is_said_of_one_method(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"alone": 0.5})
    assert in_short(choices(Analysis.of([tmp_path]), Budget())[0]) == []


def test_a_budget_that_none_keeps_names_the_nearest(analysis: Analysis) -> None:
    with pytest.raises(
        BenchError, match=r"no method keeps 0.002 ms; the nearest is tiny on made \(0.01 ms, 5.00 times"
    ):
        choices(analysis, Budget(ms=0.002))
    with pytest.raises(BenchError, match="-1 MiB is no budget"):
        Budget(mib=-1)
    with pytest.raises(BenchError, match="nan ms is no budget"):
        Budget(ms=float("nan"))


def test_what_was_not_measured_is_no_budget(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"a": 0.5, "b": 0.6})
    with pytest.raises(BenchError, match=r"answers were not timed in these runs.*run with --latency"):
        choices(Analysis.of([tmp_path]), Budget(ms=1))
    with pytest.raises(BenchError, match="labels a class were not measured"):
        choices(Analysis.of([tmp_path]), Budget(labels=1))


def test_labels_choose_among_conditions_that_differ_in_shots_alone(tmp_path: Path) -> None:
    for shots in (1, 4, 16):
        condition = ({"shots": shots},)
        make_run(
            tmp_path / str(shots),
            {"a": 0.5 + shots / 50, "b": 0.4},
            conditions=condition,
            run=f"r{shots}",
            labels_seen=6 * shots,
        )
    (made,) = choices(Analysis.of([tmp_path]), Budget(labels=4))[0]
    assert made.condition == '{"shots": 4}'


def test_the_command_writes_a_page_and_numbers(runs: Path, tmp_path: Path) -> None:
    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["choose", str(runs), *words], prog_name="bench")
        return done.exit_code, done.output

    page, numbers = tmp_path / "choice.html", tmp_path / "choice.csv"
    status, said = call("--max-ms", "1", "--out", str(page))
    assert status == 0
    assert "chosen" in said
    text = page.read_text()
    assert "the next step is large" in text
    assert "data:image/svg+xml" in text
    assert "default-src 'none'" in text
    assert call("--max-ms", "1", "--out", str(numbers))[0] == 0
    frame = pd.read_csv(numbers)
    assert frame["chosen"].sum() == 1
    assert not frame.loc[frame["method"] == "large", "keeps_budget"].item()
    assert call("--max-ms", "0.001")[0] == 2
    assert call("--out", "choice.pdf") == (2, "bench: choice.pdf ends with neither .html nor .csv; name it so\n")
