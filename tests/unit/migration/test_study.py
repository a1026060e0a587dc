"""The study of moving a memory: a space that is only turned is moved without loss, and costs are what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench.cli import migrate as command
from bench.cli.main import main
from bench.functional.classwise import normalise
from bench.migration.pairs import EncodedTwice, encoded_twice
from bench.migration.study import AGAIN, ALONE, MEMORY, MIXED, OLD, QUERIES, WAYS, Row, curve
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests.toy import DIMENSION
from tests.unit.migration.twice import WIDE, new, old

NUMBERS = (5, 30)


@pytest.fixture(scope="module")
def turned() -> EncodedTwice:
    first = old()
    return encoded_twice(first, new(first))


@pytest.fixture(scope="module")
def rows(turned: EncodedTwice) -> dict[tuple[str, int], Row]:
    found, _ = curve(turned, NUMBERS, methods=["protonet"], seeds=3)
    return {(row.way, row.pairs): row for row in found}


def test_a_space_that_was_turned_is_moved_without_loss(rows: dict[tuple[str, int], Row]) -> None:
    assert rows[OLD, 0].accuracy == rows[AGAIN, 0].accuracy
    for way in (MEMORY, QUERIES):
        assert rows[way, 30].accuracy == pytest.approx(rows[AGAIN, 0].accuracy, abs=0.01)
        assert rows[way, 5].accuracy < rows[way, 30].accuracy
        assert rows[way, 30].unexplained == pytest.approx(0, abs=1e-3)
    assert rows[ALONE, 5].accuracy < rows[MEMORY, 30].accuracy


def test_differences_are_from_encoding_all_again(rows: dict[tuple[str, int], Row]) -> None:
    assert rows[AGAIN, 0].comparison is None
    for (way, _), row in rows.items():
        if way != AGAIN:
            assert row.comparison is not None
            assert row.comparison.family.size == 1 + 4 * len(NUMBERS)
            assert row.comparison.difference.mean == pytest.approx(row.accuracy - rows[AGAIN, 0].accuracy)


def test_an_unrelated_space_is_not_claimed_to_be_moved(turned: EncodedTwice) -> None:
    draw = Stream(9).torch()
    noise = replace(turned.items[1], x=normalise(torch.randn(turned.items[1].x.shape, generator=draw)))
    found, _ = curve(replace(turned, items=(turned.items[0], noise)), [30], methods=["protonet"], seeds=2)
    by_way = {row.way: row for row in found}
    assert by_way[OLD].accuracy > 0.6
    assert by_way[MEMORY].accuracy < 0.45
    assert by_way[MEMORY].unexplained is not None
    assert by_way[MEMORY].unexplained > 0.9


def test_pairs_among_a_mapped_rest_are_as_encoded(turned: EncodedTwice) -> None:
    # With every item a pair, nothing is left to be mapped.
    _, found = curve(turned, [40], methods=["knn"], seeds=1)
    by_way = {way: rows["prediction"].tolist() for way, rows in found.groupby("way")}
    assert by_way[MIXED] == by_way[AGAIN] == by_way[ALONE]
    half = replace(turned.items[1], x=turned.items[1].x.roll(1, 0))
    wrong, _ = curve(replace(turned, items=(turned.items[0], half)), [20], methods=["protonet"], seeds=2)
    accuracy = {row.way: row.accuracy for row in wrong}
    assert accuracy[MIXED] != accuracy[MEMORY]


def test_costs_are_those_of_what_is_done(turned: EncodedTwice, rows: dict[tuple[str, int], Row]) -> None:
    assert {way: rows[way, 30 if way not in (OLD, AGAIN) else 0].encoding_flops for way in WAYS} == {
        OLD: 0, MEMORY: 30_000, MIXED: 30_000, QUERIES: 30_000, ALONE: 30_000, AGAIN: 40_000,
    }  # fmt: skip
    assert rows[MEMORY, 5].nbytes == rows[AGAIN, 0].nbytes == 40 * WIDE * 4
    assert rows[ALONE, 5].nbytes == 5 * WIDE * 4
    assert rows[QUERIES, 5].nbytes == 4 * (DIMENSION * WIDE + DIMENSION + WIDE)
    assert rows[QUERIES, 5].query_flops == 2 * DIMENSION * WIDE
    assert rows[MEMORY, 30].map_flops - 2 * 40 * DIMENSION * WIDE > rows[MEMORY, 5].map_flops * 0.5
    assert all(row.encoding_seconds is None for (way, _), row in rows.items() if way != OLD)
    timed, _ = curve(replace(turned, seconds=0.5, flops=None), [10], methods=["protonet"], seeds=1)
    assert {row.way: (row.encoding_flops, row.encoding_seconds) for row in timed} == {
        OLD: (0, 0.0), MEMORY: (None, 5.0), MIXED: (None, 5.0), QUERIES: (None, 5.0), ALONE: (None, 5.0),
        AGAIN: (None, 20.0),
    }  # fmt: skip


def test_maps_do_not_see_queries(turned: EncodedTwice) -> None:
    _, before = curve(turned, [20], methods=["knn"], seeds=1)
    queries = turned.queries[1]
    half = torch.arange(len(queries)) % 2 == 0
    spoilt = replace(queries, x=torch.where(half.unsqueeze(1), queries.x, queries.x.flip(1)))
    _, after = curve(replace(turned, queries=(turned.queries[0], spoilt)), [20], methods=["knn"], seeds=1)
    asked = before["query"].isin(queries.ids[half.numpy()])
    assert (before["prediction"][asked] == after["prediction"][asked]).all()
    assert (before["prediction"] != after["prediction"]).any()


def test_one_class_in_the_pairs_is_the_only_answer(turned: EncodedTwice) -> None:
    first = np.flatnonzero(turned.items[0].labels.numpy() == 0)
    few = [part.take(np.concatenate([first[:4], [20]])) for part in turned.items]
    _, found = curve(replace(turned, items=(few[0], few[1])), [2], methods=["knn"], seeds=6)
    assert len(found)
    assert set(found["prediction"]) <= set(few[0].labels.tolist())


@pytest.mark.parametrize("numbers", [[1], [41], []])
def test_a_number_of_pairs_that_there_is_not(turned: EncodedTwice, numbers: list[int]) -> None:
    with pytest.raises(BenchError, match="pairs"):
        curve(turned, numbers)


@pytest.mark.parametrize("methods", ["", ","])
def test_no_method_is_one_line(methods: str, turned: EncodedTwice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "encoded_twice", lambda *a, **k: turned)
    done = CliRunner().invoke(main, ["migrate", "toy", "--to", "second", "--methods", methods])
    assert done.exit_code == 2
    assert done.output.startswith("bench: ")
    assert done.output.count("\n") == 1


def test_the_command_shows_every_way(turned: EncodedTwice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "encoded_twice", lambda *a, **k: turned)
    out = tmp_path / "answers.csv"
    words = ["migrate", "toy", "--to", "second", "--methods", "protonet", "--seeds", "2", "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "40 items and 50 queries, first (d = 16) to second (d = 24), 2 draws of pairs" in done.output
    for way in WAYS:
        assert f"{way}: " in done.output
    # Six ways, four of them at 10, 30 and all 40 pairs, of 50 queries and two draws.
    assert len(out.read_text().splitlines()) == 1 + (2 + 4 * 3) * 50 * 2
    few = CliRunner().invoke(main, [*words, "--pairs", "41"])
    assert few.exit_code == 2
    assert few.output.splitlines() == ["bench: --pairs 41: a map is learnt on 2 items or more, and the memory has 40"]
