"""``bench choose --data``: a race whose winner is kept as a classifier."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from bench import Classifier
from bench.cli.main import main
from bench.learning.holdout import apart, spared
from bench.racing.candidates import ROUNDS, field, rounds, run
from bench.utils.durations import seconds_of
from bench.utils.errors import BenchError
from tests import toy


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="bench")


def test_each_image_is_held_out_once_and_the_only_one_of_a_class_never() -> None:
    task = toy.task()
    found = rounds(task)
    columns = task.columns(task.support.labels).numpy()
    for column in range(3):
        counts = np.bincount(found[columns == column], minlength=ROUNDS)
        assert counts.sum() == (columns == column).sum()
        assert counts.max() <= max(1, counts.sum() // 2)


def test_candidates_are_methods_and_their_settings() -> None:
    entered = field(toy.dataset(), None, methods=["knn", "protonet"], settings=3)  # type: ignore[arg-type]
    names = list(entered.candidates)
    assert "knn" in names
    assert "protonet" in names
    assert len([name for name in names if name.startswith("knn")]) == len(
        {repr(entered.candidates[name]) for name in names if name.startswith("knn")}
    )
    with pytest.raises(BenchError, match="a race needs two candidates"):
        field(toy.dataset(), None, methods=["zero-shot"])  # type: ignore[arg-type]


def test_the_winner_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = bench("choose", "--data", "digits", "--methods", "knn:k=1,protonet", "--budget", "60s", "--out", "kept")
    assert done.exit_code == 0, done.output
    made = Classifier.load(tmp_path / "kept")
    assert done.output.startswith(made.label_)
    assert "held-out images" in done.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--data", "digits", "--budget", "soon"), "'soon' is no duration; write 90s, 10m or 1.5h"),
        (("--data", "digits", "--max-ms", "3"), "--max-ms is for runs"),
        (("runs", "--data", "digits"), "runs is for runs"),
        (("--budget", "3s"), "--budget is for a race, and there is no --data"),
        (("--data", "digits", "--methods", "knn,knm"), "unknown method 'knm'; did you mean 'knn'?"),
        (("--data", "digits", "--methods", "knn"), "a race needs two candidates"),
    ],
)
def test_what_makes_no_sense_is_one_line(words: tuple[str, ...], why: str) -> None:
    done = bench("choose", *words)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.strip().splitlines()
    assert why in line


def test_durations_are_read() -> None:
    assert [seconds_of(text) for text in ("90", "90s", "10m", "1.5h")] == [90, 90, 600, 5400]
    for text in ("", "0", "-1s", "1d", "1m30s"):
        with pytest.raises(BenchError, match="is no duration"):
            seconds_of(text)


def test_a_fit_that_overruns_the_budget_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*arguments: object, **named: object) -> None:
        while True:
            pass

    entered = field(toy.dataset(), None, methods=["protonet", "knn"])  # type: ignore[arg-type]
    monkeypatch.setattr(type(entered.candidates["knn"]), "build", endless)
    start = time.monotonic()
    outcome = run(entered, 3.0)
    assert time.monotonic() - start < 30
    assert (outcome.winner, outcome.untried, outcome.out_of_time, outcome.rounds) == ("protonet", ("knn",), True, 1)


def test_an_image_that_is_there_twice_is_not_answered_by_itself() -> None:
    task = toy.task()
    twice = replace(task, support=task.support.take(np.r_[0 : len(task.support), 0]))
    ids = twice.support.ids.copy()
    ids[-1] = "copy"
    twice = replace(twice, support=replace(twice.support, ids=ids))
    held = torch.zeros(len(ids), dtype=torch.bool)
    held[0] = True
    rest, images = apart(twice, held)
    assert images.ids.tolist() == [task.support.ids[0]]
    assert "copy" not in rest.support.ids
    assert len(rest.support) == len(task.support) - 1
    assert "copy" in spared(twice, held)[0].support.ids
