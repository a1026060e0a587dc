"""Weights that one command trains and another plugs in; an upper bound chosen on the queries."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import Bench


@pytest.fixture
def trained(bench: Bench, tmp_path: Path) -> Path:
    """Return a run of mml on the digits that kept its weights."""
    done = bench(
        "run", "--scenario", "web-zero-shot", "--data", "digits", "--methods", "mml", "--seeds", "1", "--save-states",
        "--set", "mml.epochs=1", "--set", "web-zero-shot.train_images=4", "--out", "a", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "a").iterdir()
    return folder


def load(bench: Bench, folder: Path, *more: str) -> tuple[int, str]:
    done = bench(
        "run", "--scenario", "web-zero-shot", "--data", "digits", "--methods", "mml,knn", "--seeds", "1",
        "--load", folder, "--set", "mml.epochs=1", "--set", "web-zero-shot.train_images=5", "--out", "b", "--quiet",
        *more,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_run_is_loaded_by_the_next_and_a_misfit_is_one_line_with_status_2(
    bench: Bench, trained: Path, tmp_path: Path
) -> None:
    assert [p.suffix for p in (trained / "states").iterdir()] == [".safetensors"]
    status, error = load(bench, trained)
    assert status == 0, error
    (folder,) = (tmp_path / "b").iterdir()
    manifest = yaml.safe_load((folder / "run.json").read_text())
    assert len(manifest["loaded"]) == 1
    assert manifest["loaded"][0].endswith(": digits, seed 0")
    status, error = load(bench, trained, "--set", "mml.k=4")
    assert status == 2
    assert error.count("\n") == 1
    assert "k=32 instead of 4; set the same parameters" in error


def test_an_oracle_is_added_only_when_asked_for_and_named_in_the_report(bench: Bench, tmp_path: Path) -> None:
    done = bench(
        "run", "--scenario", "few-to-many-shot", "--data", "digits", "--methods", "knn,protonet", "--seeds", "2",
        "--oracle", "knn.k=1,4", "--set", "few-to-many-shot.shots=[4]", "--out", "runs", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = bench("report", "runs")
    assert shown.returncode == 0, shown.stderr
    assert "knn(oracle:k)" in shown.stdout
    assert "chose hyperparameters on the queries themselves (oracle)" in shown.stdout
