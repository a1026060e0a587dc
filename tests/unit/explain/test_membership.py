"""The membership test: it finds what a memory holds, and no more in a cleaned one than in one that never held it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from bench.cli.main import main
from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.explain.membership import membership, powers
from bench.explain.replay import Which
from bench.functional.classwise import normalise
from bench.runner.api import run
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy

EXACT = ("knn(k=10,temperature=0.02)", "protonet", "slda")


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Return classes that overlap, so that strangers are often taken for another class."""
    easy, every = toy.dataset(4, images=False), list(range(4))
    splits = {name: toy.cloud(every, each, easy.class_names, name, 0.6) for name, each in (("train", 30), ("test", 3))}
    return replace(easy, splits=splits, roles={"support": ("train",), "query": ("test",)})


@pytest.fixture(scope="module")
def made(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    methods = ["knn:k=10:temperature=0.02", "protonet", "slda", "zero-shot"]
    run("few-to-many-shot", methods, data, 1, set={"few-to-many-shot.shots": [30]}, out=out, device="cpu")
    return next(out.iterdir())


@pytest.fixture(scope="module")
def tested(made: Path, data: Dataset) -> pd.DataFrame:
    return membership(made, Which(methods=EXACT), worlds=6, data=data)[0]


def test_a_method_that_memorises_is_found_out(tested: pd.DataFrame) -> None:
    shares = powers(tested).set_index("method")
    assert shares.loc["knn(k=10,temperature=0.02)", "left_in"] > 0.8
    assert shares.loc["knn(k=10,temperature=0.02)", "items"] == 6 * 6


def marked(features: Features) -> Features:
    """Return features that each carry a direction of their own, by which a probe can tell every image."""
    noise = torch.randn(len(features), 240, generator=Stream(4).child(str(features.ids[0])).torch())
    x = torch.cat([0.3 * features.x, 0.7 * normalise(noise)], 1)
    return Features(normalise(x), features.labels, features.ids, features.class_names)


def test_a_trained_method_is_found_out_and_clean_when_it_is_trained_again(data: Dataset, tmp_path: Path) -> None:
    splits = {name: marked(part) for name, part in data.splits.items()}
    wide = replace(data, splits=splits, memory=Memory.empty(256), prompts=Features.empty(256, data.class_names))
    settings = {"few-to-many-shot.shots": [30]}
    run("few-to-many-shot", ["linear-probe:c=100"], wide, 1, set=settings, out=tmp_path, device="cpu")
    tested, _ = membership(next(tmp_path.iterdir()), shadows=16, worlds=6, data=wide)
    (shares,) = powers(tested).to_dict("records")
    assert shares["how"] == "rebuilt"
    # With more dimensions than images it fits each one, so what it was not cleaned of is found.
    assert shares["left_in"] > 0.8
    assert shares["removed"] == shares["never"] < 0.25


def test_exact_forgetting_leaves_what_a_stranger_leaves(tested: pd.DataFrame) -> None:
    assert set(tested.loc[tested["method"].isin(EXACT), "how"]) == {"forgotten"}
    assert (tested["removed"] == tested["never"]).all()
    assert tested.groupby("method")["removed"].mean().max() < 0.25


def test_what_cannot_be_tested_is_said(made: Path, data: Dataset) -> None:
    with pytest.raises(BenchError, match="are too few to know two distributions"):
        membership(made, shadows=3, data=data)
    with pytest.raises(BenchError, match="the run has no method 'nm'"):
        membership(made, Which(methods=("nm",)), data=data)


def test_a_small_memory_is_one_line(data: Dataset, tmp_path: Path) -> None:
    run("few-to-many-shot", ["protonet"], data, 1, set={"few-to-many-shot.shots": [4]}, out=tmp_path, device="cpu")
    with pytest.raises(BenchError, match="a memory of 16 images is too small"):
        membership(next(tmp_path.iterdir()), data=data)


def test_the_command_shows_the_three_states(tmp_path: Path) -> None:
    settings = {"few-to-many-shot.shots": [8]}
    run("few-to-many-shot", ["protonet"], "digits", 1, out=tmp_path / "runs", device="cpu", set=settings)
    out = tmp_path / "tests.csv"
    words = ["membership", str(tmp_path / "runs"), "--shadows", "8", "--worlds", "1", "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "never there" in done.output
    assert len(pd.read_csv(out)) == 4
