"""A run's queries answered from another version of its data: as a run with that version answers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.data.registry import resolve
from bench.data.versions import edits
from bench.data.versions.history import History
from bench.explain.certify import certify
from bench.explain.replay import Which
from bench.explain.versions import replay
from bench.reports.statistics.versions import changes
from bench.results.run_folder import read_predictions
from bench.runner.api import run
from bench.utils.errors import BenchError
from tests.unit.data import packs_of_two

METHODS = ["protonet", "knn:k=3"]
SETTINGS = {"supervised.shots": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a pack that was edited after a run, and the run."""
    place = tmp_path_factory.mktemp("replay")
    packs_of_two.write(place / "small", per_class=6, spread=0.5)
    run("supervised", METHODS, str(place / "small"), 2, out=place / "runs", device="cpu", set=SETTINGS)
    edits.relabel(History(place / "small"), {f"photo {n}": "class 3" for n in range(4)}, reason="by mistake")
    return place / "small", next((place / "runs").iterdir())


def test_answers_are_those_of_a_run_with_the_other_version(made: tuple[Path, Path], tmp_path: Path) -> None:
    pack, first = made
    found = replay(first, version=History(pack).head, data=pack)
    run("supervised", METHODS, str(pack), 2, out=tmp_path, device="cpu", set=SETTINGS)
    second = next(tmp_path.iterdir())
    for folder, when in ((first, "before"), (second, "after")):
        recorded = read_predictions(folder)
        expected = recorded.groupby("query")["prediction"].agg(lambda p: sorted(map(int, p)))
        ours = found.answers.groupby("query")[when].agg(lambda p: sorted(map(int, p)))
        assert ours.to_dict() == expected.to_dict()
    assert (found.answers["before"] != found.answers["after"]).any()


def test_what_changes_is_counted_and_paired(made: tuple[Path, Path]) -> None:
    pack, first = made
    found = replay(first, version=History(pack).head, data=pack)
    for change in changes(found.answers):
        rows = found.answers[found.answers["method"] == change.method]
        assert change.answers == (rows["before"] != rows["after"]).sum()
        assert change.comparison.difference.mean == pytest.approx(change.after - change.before)
        assert change.comparison.difference.mean == pytest.approx((change.won - change.lost) / change.queries)


def test_items_left_out_are_as_if_they_had_never_been_there(made: tuple[Path, Path], tmp_path: Path) -> None:
    pack, first = made
    start = History(pack).log[0].version
    History(pack).export(start, tmp_path / "small")
    edits.remove(History(tmp_path / "small"), items=["photo 5", "photo 6"])
    run("supervised", METHODS, str(tmp_path / "small"), 2, out=tmp_path / "runs", device="cpu", set=SETTINGS)
    expected = read_predictions(next((tmp_path / "runs").iterdir()))["prediction"].astype(int).value_counts()
    found = replay(first, without=["item:photo 5", "item:photo 6"], version=start, data=pack)
    assert found.answers["after"].value_counts().to_dict() == expected.to_dict()


def test_a_run_is_certified_with_the_version_it_was_made_with(made: tuple[Path, Path]) -> None:
    pack, first = made
    table, _ = certify(first, most=1, data=pack)
    assert isinstance(table, pd.DataFrame)
    assert len(table)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "what is to be different"),
        ({"version": "abcd"}, "has no version 'abcd'"),
        ({"version": "a", "as_of": "2026-01-01"}, "both name a version"),
        ({"as_of": "2001-01-01"}, "what was before is not known"),
        ({"without": ["source:bing"]}, "has no item that is meant by 'source:bing'"),
        ({"without": ["bing"]}, "names no items; write one of source:NAME"),
        ({"without": ["source:train"]}, "no method can answer|has 0 images|no labelled|needs"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(made: tuple[Path, Path], arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        replay(made[1], Which(), data=made[0], **arguments)


def test_the_command_shows_what_changes(made: tuple[Path, Path], tmp_path: Path) -> None:
    pack, first = made
    out = tmp_path / "answers.csv"
    head = resolve(pack).fingerprint[:12]
    arguments = ["replay", str(first), "--data", str(pack), "--as-of", "2999-01-01", "--out", str(out)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert f"answered from {head}" in done.output.splitlines()[0]
    assert set(pd.read_csv(out)["method"]) == {"protonet", "knn(k=3)"}
