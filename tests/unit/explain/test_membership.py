"""The membership test: it finds what a memory holds, and no more in a cleaned one than in one that never held it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.core.dataset import Dataset
from bench.explain.membership import membership, powers
from bench.explain.replay import Which
from bench.runner.api import run
from bench.utils.errors import BenchError
from tests import toy


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
    return membership(made, Which(methods=("knn(k=10,temperature=0.02)", "protonet", "slda")), worlds=6, data=data)[0]


def test_a_method_that_memorises_is_found_out(tested: pd.DataFrame) -> None:
    shares = powers(tested).set_index("method")
    assert shares.loc["knn(k=10,temperature=0.02)", "left_in"] > 0.8
    assert shares.loc["knn(k=10,temperature=0.02)", "items"] == 6 * 6


def test_exact_forgetting_leaves_what_a_stranger_leaves(tested: pd.DataFrame) -> None:
    assert set(tested["how"]) == {"forgotten"}
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
