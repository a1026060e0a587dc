"""Planted leaks: copies are what they are called, and the tables say what the audit found of them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bench.data.glyphs.catalogue import characters
from bench.data.glyphs.dataset import Size
from bench.encoders import load_encoder
from tools.planted_leaks import KINDS, RATES, copies, images_table, texts_table, training_table

SMALL = Size(seen=2, validation=1, unseen=3, support=1, query=4, held_out=1, images=2, sentences=1)


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str, str], list[str]]:
    lines = list(images_table(load_encoder("glyphs"), SMALL, 0))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {(c[0], c[1], c[2]): c[3:] for c in cells}


def test_every_kind_is_planted_into_both_parts_and_asked_both_ways(rows: dict[tuple[str, str, str], list[str]]) -> None:
    assert {key[1] for key in rows} == set(KINDS)
    assert len(rows) == 2 * len(KINDS) * 2


def test_exact_copies_are_found_and_others_are_not_taken_for_them(rows: dict[tuple[str, str, str], list[str]]) -> None:
    for part in ("memory", "training images"):
        recall, alarms, rates = rows[part, "exact copy", "no"]
        assert recall.startswith("100.0 [")
        assert alarms.startswith("0.0 [")
        for cell in rates.split("; "):
            _, _, missed, _ = map(float, re.findall(r"[\d.]+", cell))
            assert missed == 0
    assert len(rows["memory", "exact copy", "no"][2].split("; ")) == len(RATES)


def test_the_bound_is_not_below_what_was_missed(rows: dict[tuple[str, str, str], list[str]]) -> None:
    for _, _, rates in rows.values():
        for cell in rates.split("; "):
            _, _, missed, most = map(float, re.findall(r"[\d.]+", cell))
            assert missed <= most


def test_queries_that_were_trained_on_are_answered_better_and_not_found() -> None:
    lines = list(training_table(load_encoder("glyphs"), replace(SMALL, unseen=6), 0))[2:]
    assert len(lines) == len(RATES)
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert cells[0] == "5 of 24"
    without, with_ = map(float, cells[1].split(", "))
    assert without <= with_
    assert int(cells[3]) <= 5


def test_another_face_is_another_picture_of_the_same_draw() -> None:
    encoder, character = load_encoder("glyphs"), characters("unseen")[0]
    name = [f"query/{character.label}/0"]
    exact, face = copies(encoder, name, "exact copy"), copies(encoder, name, "the same draw in another face")
    assert exact.content != face.content
    assert 0.3 < float((exact.x * face.x).sum()) < 0.9999


def test_texts_are_found_by_whole_names_alone() -> None:
    found = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in list(texts_table(0, per_class=1))[2:]}
    assert found["as it is"].startswith("100.0")
    assert found["in capitals, words joined by hyphens"].startswith("100.0")
    assert float(found["words in reverse order"].split()[0]) < 5
    assert np.isclose(float(found["the simulated web's sentences on a class"].split()[0]), 100, atol=10)
