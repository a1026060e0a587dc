"""Whole numbers as people write them: nothing else is taken for one, and nothing raises."""

from __future__ import annotations

import pytest

from bench.data.thumbnails import _digit
from bench.explain.interventions import parse_relabels
from bench.runner.options import parse_seeds
from bench.runner.parallel.work_units import Shard
from bench.utils.errors import BenchError
from bench.utils.whole_numbers import whole_number

NONE = ["", "-1", "+1", "1_000", "１", "²", "٣", " 1", "1.0", "1e3", "0x1", "9" * 5000, "one"]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_whole_number(text: str) -> None:
    assert whole_number(text) is None


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("9223372036854775807", 2**63 - 1)])
def test_whole_numbers(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", NONE)
def test_whoever_reads_one_refuses_the_others(text: str) -> None:
    for read in (
        lambda: Shard.parse(f"1/{text}"),
        lambda: Shard.parse(f"{text}/2"),
        lambda: parse_relabels([f"item={text}"], ["fox", "wolf"]),
    ):
        with pytest.raises(BenchError):
            read()
    assert _digit(f"digit/{text}") is None
    if text.strip() not in ("1", ""):
        for seeds in (text, f"0,{text}"):
            with pytest.raises(BenchError, match="--seeds"):
                parse_seeds(seeds)


def test_blanks_around_seeds_are_no_part_of_them() -> None:
    assert parse_seeds(" 2 ") == (0, 1)
    assert parse_seeds("0, 7") == (0, 7)
