"""The value of a run's items: what adds up to what, and what wrong labels look like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from bench.cli.main import main
from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.explain.episodes import dealt_episodes
from bench.explain.replay import Which
from bench.explain.value import value, values_of
from bench.functional.classwise import normalise
from bench.learning.holdout import hold_out
from bench.reports.metrics.item_values import by_group
from bench.runner.api import run
from bench.sampling.sessions import make_task
from bench.utils.errors import BenchError
from tests import toy

WRONG = 0.2


def spoilt(data: Dataset, images: Items) -> tuple[Items, np.ndarray]:
    """Return items of which a fifth are labelled wrongly, and which."""
    wrong = np.arange(len(images)) % round(1 / WRONG) == 0
    other = (images.labels + 1) % len(data.class_names)
    return replace(images, labels=torch.where(torch.from_numpy(wrong), other, images.labels)), wrong


@pytest.fixture(scope="module")
def data() -> Dataset:
    return toy.dataset(5)


@pytest.fixture(scope="module")
def made(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    run("lifecycle", ["protonet"], data, 1, out=out, device="cpu", set={"lifecycle.script": ["add-source"]})
    return next(out.iterdir())


def test_values_add_up_to_what_the_votes_get_right(data: Dataset) -> None:
    task = make_task(data, tuple(range(5)), support=data.role("support"), memory=Memory.empty(data.dimension))
    items, k = task.all_images, 3
    found = values_of(items, task, k, "right")
    judges, columns = hold_out(items.labels, items.ids).numpy(), items.labels.numpy()
    x = torch.nn.functional.normalize(items.x.double(), dim=1)
    right = 0.0
    for valued in (~judges, judges):
        near = (x[~valued] @ x[valued].T).topk(k).indices.numpy()
        right += (columns[valued][near] == columns[~valued][:, None]).mean(1).sum()
    assert found["shapley"].sum() == pytest.approx(right / len(items), abs=1e-9)


def test_wrong_labels_have_margins_below_zero_and_little_value(data: Dataset) -> None:
    support = data.role("support")
    items, wrong = spoilt(data, Items.of_features(support, "support"))
    features = replace(support, labels=items.labels)
    task = make_task(data, tuple(range(5)), support=features, memory=Memory.empty(data.dimension))
    found = values_of(task.all_images, task, 3, "right")
    assert roc_auc_score(wrong, -found["margin"]) > 0.95
    assert roc_auc_score(wrong, -found["shapley"]) > 0.8
    signed = values_of(task.all_images, task, 3, "signed")["shapley"]
    assert signed[wrong].mean() < signed[~wrong].mean() / 2


def test_sources_and_classes_share_the_whole(made: Path, data: Dataset) -> None:
    found = value(made, data=data)  # type: ignore[arg-type]
    assert set(found["source"]) == {"web-a", "web-b"}
    for group in ("source", "class", "keyword", "licence", "item"):
        shown = by_group(found, group)
        assert shown["shapley"].sum() == pytest.approx(found["shapley"].sum())
        assert shown["items"].sum() == len(found)
        assert shown["each"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (Which(session=9), "the run has no session 9"),
        (Which(seed=5), "the run has no seed 5"),
        (Which(condition={"shots": "4"}), "no condition of the run has shots = 4"),
    ],
)
def test_what_is_not_there_is_one_line(made: Path, data: Dataset, which: Any, words: str) -> None:
    with pytest.raises(BenchError, match=words):
        value(made, which, data=data)  # type: ignore[arg-type]


def test_one_image_a_class_has_no_judge(data: Dataset) -> None:
    one = data.role("support")
    first = torch.tensor([int((one.labels == c).nonzero()[0]) for c in range(5)])
    task = make_task(data, tuple(range(5)), support=one.take(first), memory=Memory.empty(data.dimension))
    with pytest.raises(BenchError, match="no class has two images"):
        values_of(task.all_images, task, 3, "right")


def test_queries_judge_only_where_that_is_marked(made: Path, data: Dataset) -> None:
    with pytest.raises(BenchError, match="judged by queries are an oracle, by which nothing may be chosen"):
        value(made, judges="queries", data=data)
    with pytest.raises(BenchError, match="give --judges queries"):
        value(made, oracle=True, data=data)
    held, marked = value(made, data=data), value(made, judges="queries", oracle=True, k=3, data=data)
    assert set(held["judges"]) == {"held-out"}
    assert set(marked["judges"]) == {"oracle"}
    assert (held["margin"] == marked["margin"]).all()
    assert (held["shapley"] != marked["shapley"]).any()
    # All queries of the last session judge all items: values add up to the share of right votes.
    (dealt,) = dealt_episodes(made, Which(), data=data)
    items, queries = dealt.session.task.all_images, dealt.session.queries
    near = (normalise(queries.x) @ normalise(items.x).T).topk(3).indices
    right = (items.labels[near] == queries.labels.unsqueeze(1)).double().mean()
    assert marked["shapley"].sum() == pytest.approx(float(right), abs=1e-9)


@pytest.mark.parametrize(
    "words", [["--judges", "queries"], ["--oracle"], ["--judges", "queries", "--oracle", "--keep"]]
)
def test_an_oracle_without_its_mark_is_one_line(made: Path, words: list[str]) -> None:
    done = CliRunner().invoke(main, ["value", str(made), *words])
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1
    assert "oracle" in done.output


def test_the_command_shows_groups_and_writes_items(tmp_path: Path) -> None:
    settings = {"few-to-many-shot.shots": [4]}
    run("few-to-many-shot", ["protonet"], "digits", 1, out=tmp_path / "runs", device="cpu", set=settings)
    out = tmp_path / "items.csv"
    done = CliRunner().invoke(main, ["value", str(tmp_path / "runs"), "--by", "class", "--top", "3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "7 more; --top 10 shows all" in done.output
    assert len(pd.read_csv(out)) == 40
