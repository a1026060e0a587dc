"""The founding paper's tables of data, for data at hand."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bench.cli.main import main
from bench.data.provenance import PROVENANCE_FILE
from bench.data.registry import resolve
from bench.runner.experiments.data_tables import first_texts, sizes
from tests import toy
from tests.unit.data import packs_of_two


def ask(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["data", "table", *map(str, arguments)])
    return done.exit_code, done.output


def test_sizes_are_counts_of_the_data(tmp_path: Path) -> None:
    packs_of_two.write(tmp_path / "small")
    data = toy.dataset(10)
    (row,) = sizes([data])
    assert (row["classes"], row["split"], row["seen"], row["validation"], row["unseen"]) == (10, "drawn", 6, 2, 2)
    assert (row["support_images"], row["validation_images"], row["query_images"]) == (60, 30, 50)
    assert (row["image_memory"], row["image_memory_least"], row["image_memory_most"]) == (80, 8, 8)
    fewer = replace(data, memory=data.memory.replace(texts=data.memory.texts.take(torch.arange(30) > 1)))
    (row,) = sizes([fewer])
    assert (row["text_memory"], row["text_memory_least"], row["text_memory_median"]) == (28, 1, 3)
    (packed,) = sizes([resolve(tmp_path / "small")], seed=3)
    assert (packed["split"], packed["unseen"]) == ("none", 4)
    assert (packed["text_memory"], packed["text_memory_classes"], packed["image_memory"]) == (12, 4, 0)


def test_the_first_texts_are_those_of_the_builders_file_in_its_order(tmp_path: Path) -> None:
    pack = tmp_path / "small"
    packs_of_two.write(pack)
    code, said = ask("t18", pack)
    assert (code, said.count("\n"), "and not the texts" in said) == (2, 1, True)
    texts = [
        {"keyword": "class 1", "text": f"=SUM({n}) is no formula", "source": "wikipedia", "title": "One", "url": "u"}
        for n in range(4)
    ]
    (pack / PROVENANCE_FILE).write_text(json.dumps({"texts": texts}))
    rows = first_texts(str(pack), first=2)
    assert [row["text"] for row in rows] == ["=SUM(0) is no formula", "=SUM(1) is no formula"]
    assert rows[0]["title"] == "One"
    assert ask("t18", pack, "--out", tmp_path / "t18.csv")[0] == 0
    with (tmp_path / "t18.csv").open(newline="") as opened:
        assert [row["text"][0] for row in csv.DictReader(opened)] == ["'"] * 3
    code, said = ask("t18", pack, "--class", "class 2")
    assert (code, "has no text of a class 'class 2'; did you mean 'class 1'?" in said) == (2, True)


def test_the_bundled_sentences_are_those_that_are_encoded() -> None:
    rows = json.loads(ask("t18", "glyphs", "--json", "--first", "2")[1])
    assert len({row["class"] for row in rows}) == 1
    assert all(row["text"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["t10", "digits", "--class", "one"], "--class is for t18"),
        (["t10", "nope"], "neither the path of a pack nor a known data set"),
        (["t18", "digits"], "keeps the vectors of its texts"),
    ],
)
def test_what_cannot_be_shown_is_one_line(arguments: list[str], words: str) -> None:
    code, said = ask(*arguments)
    assert (code, said.count("\n")) == (2, 1)
    assert words in said


def test_a_table_of_data_is_no_run() -> None:
    done = CliRunner().invoke(main, ["run", "--experiment", "t10"])
    assert done.exit_code == 2
    assert "`bench data table t10 DATA` prints it" in done.output
    assert "bench data table t18 DATA" in CliRunner().invoke(main, ["list", "experiments"]).output
