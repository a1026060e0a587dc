"""Certificates of a run's answers: what they say is what happens when items are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.core.dataset import Dataset
from bench.explain.certify import certify
from bench.explain.explain import explain
from bench.explain.replay import Which
from bench.reports.metrics.certified import certified_accuracy
from bench.reports.statistics.certified_tests import certified_comparisons
from bench.runner.api import run
from bench.utils.errors import BenchError
from tests import toy

METHODS = ["knn:k=3:vote=majority", "knn:k=3", "protonet", "slda", "gda"]


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Return four classes that overlap, so that some answers stand no edit and some do."""
    easy, every = toy.dataset(4, images=False), list(range(4))
    splits = {name: toy.cloud(every, each, easy.class_names, name, 0.6) for name, each in (("train", 4), ("test", 6))}
    return replace(easy, splits=splits, roles={"support": ("train",), "query": ("test",)})


@pytest.fixture(scope="module")
def made(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    run("few-to-many-shot", METHODS, data, 2, set={"few-to-many-shot.shots": [2]}, out=out, device="cpu")
    return next(out.iterdir())


@pytest.fixture(scope="module")
def found(made: Path, data: Dataset) -> tuple[pd.DataFrame, list[str]]:
    return certify(made, most=3, data=data)  # type: ignore[arg-type]


def test_every_answer_has_one_of_each_kind_or_a_reason(found: tuple[pd.DataFrame, list[str]], data: Dataset) -> None:
    table, without = found
    queries = len(data.role("query"))
    counts = table.groupby(["method", "edit", "seed"]).size()
    assert set(counts) == {queries}
    assert set(table["edit"]) == {"remove", "relabel", "insert"}
    assert table["least"].between(1, 4).all()
    assert [line.partition(":")[0] for line in without] == ["gda", "slda, insert", "slda, relabel"]


@pytest.mark.parametrize("method", ["knn(k=3,vote=majority)", "knn(k=3)", "protonet"])
def test_one_removal_changes_exactly_the_answers_that_it_says(
    found: tuple[pd.DataFrame, list[str]], made: Path, data: Dataset, method: str
) -> None:
    table = found[0].query("method == @method and edit == 'remove' and seed == 0")
    some = [*table[table["least"] == 1]["query"][:2], *table[table["least"] > 1]["query"][:2]]
    items = support_of(made, data)
    which = Which(methods=(method,), seed=0)
    before = {case.query: case.explained[0].before.prediction for case in explain(made, some, which, data=data)}
    changed = dict.fromkeys(some, False)
    for item in items:
        for case in explain(made, some, which, exclude=[item], data=data):
            after = case.explained[0].after
            assert after is not None
            changed[case.query] |= after.prediction != before[case.query]
    assert changed == {query: query in set(table[table["least"] == 1]["query"]) for query in some}
    assert len(set(changed.values())) == 2


def support_of(made: Path, data: Dataset) -> list[str]:
    """Return the ids of all items that an answer of seed 0 rests on."""
    which = Which(methods=("knn(k=3,vote=majority)",), seed=0)
    names = data.role("query").ids.tolist()
    return sorted(
        {
            near.item
            for case in explain(made, names, which, data=data)
            for near in case.explained[0].before.evidence.neighbours  # type: ignore[union-attr]
        }
    )


def test_what_cannot_be_taken_away_shrinks(found: tuple[pd.DataFrame, list[str]]) -> None:
    shares = certified_accuracy(found[0], [0, 1, 2, 3])
    for row in shares.to_dict("records"):
        values: list[Any] = [row[r] for r in range(4)]
        assert values == sorted(values, reverse=True)
    accuracy = found[0].groupby(["method", "edit"])["correct"].mean()
    for row in shares.to_dict("records"):
        assert row[0] == pytest.approx(accuracy[row["method"], row["edit"]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"which": Which(methods=("gda",))},
            "gda has no certificates; knn, protonet, slda, ranpac and visual-memory have",
        ),
        ({"which": Which(session=3)}, "the run has no session 3; its last is 0"),
        ({"which": Which(methods=("knm",))}, "the run has no method 'knm'"),
        ({"most": 0}, "asks for no edit"),
    ],
)
def test_what_cannot_be_certified_is_one_line(made: Path, data: Dataset, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        certify(made, data=data, **arguments)  # type: ignore[arg-type]


def test_an_approximate_search_makes_no_certificate(data: Dataset, tmp_path: Path) -> None:
    run("supervised", ["knn:k=3"], data, 1, out=tmp_path, device="cpu", search="sq8:candidates=6")
    with pytest.raises(BenchError, match=r"the run searched by sq8.*, which may miss items"):
        certify(next(tmp_path.iterdir()), data=data)  # type: ignore[arg-type]


def test_the_command_shows_a_table_and_writes_each_answer(tmp_path: Path) -> None:
    run("supervised", ["protonet"], "digits", 1, out=tmp_path / "runs", device="cpu")
    out = tmp_path / "answers.csv"
    done = CliRunner().invoke(main, ["certify", str(tmp_path / "runs"), "--most", "2", "--out", str(out)])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "Accuracy % that so many edits cannot take away, mean over seeds"
    assert any(line.startswith("digits") and "insert" in line and line.endswith("exact") for line in lines)
    assert not any(line.startswith("no certificate") for line in lines)
    assert set(pd.read_csv(out)["edit"]) == {"remove", "relabel", "insert"}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_methods_are_compared_by_what_edits_cannot_take_away(
    found: tuple[pd.DataFrame, list[str]], number: int
) -> None:
    shares = certified_accuracy(found[0], [number]).set_index(["edit", "method"])[number]
    made = list(certified_comparisons(found[0], number))
    # Three pairs of the methods that have a certificate of the kind, and slda has one for removal: six there.
    assert [edit for edit, _ in made].count("remove") == 6
    assert [edit for edit, _ in made].count("insert") == 3
    for edit, one in made:
        assert one.difference.mean == pytest.approx(shares[edit, one.a] - shares[edit, one.b])
        assert one.seeds == (0, 1)
        assert one.family.size == (6 if edit == "remove" else 3)


def test_the_command_compares_methods(tmp_path: Path) -> None:
    settings = {"few-to-many-shot.shots": [4]}
    run("few-to-many-shot", ["protonet", "knn:k=3"], "digits", 1, out=tmp_path, device="cpu", set=settings)
    words = ["certify", str(tmp_path), "--edit", "insert", "--most", "2", "--compare", "2"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    told = done.output.split("What 2 edits cannot take away, paired by query")[1]
    assert "knn(k=3)" in told
    assert "protonet" in told
    assert "lower bound" not in told
    removed = CliRunner().invoke(main, ["certify", str(tmp_path), "--edit", "remove", "--most", "3", "--compare", "3"])
    assert "protonet, remove: a lower bound is compared; it may stand more" in removed.output
    assert "knn(k=3), remove: a lower" not in removed.output
    beyond = CliRunner().invoke(main, [*words[:-1], "3"])
    assert beyond.exit_code == 2
    assert beyond.output.strip() == (
        "bench: --compare 3 is beyond what is certified, --most 2; raise it or compare fewer"
    )
