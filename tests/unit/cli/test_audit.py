"""``bench audit``: margins as a column, the bound on what was not found, and texts that name classes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.data.duplicates import audit as audited
from bench.data.registry import resolve
from bench.data.versions import edits
from bench.data.versions.history import History
from bench.functional.item_values import left_out_margins
from bench.reports.metrics.leak_bounds import unseen_leaks
from tests.unit.data import packs_of_two


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pack in which one item is under a wrong class."""
    place = tmp_path_factory.mktemp("audit") / "small"
    packs_of_two.write(place, per_class=6)
    edits.relabel(History(place), {"photo 2": "class 3"}, reason="by mistake")
    return place


def run(*words: object) -> str:
    done = CliRunner().invoke(main, ["audit", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_margin_of_each_labelled_image_is_a_column(pack: Path, tmp_path: Path) -> None:
    text = run(pack, "--out", tmp_path / "margins.csv")
    table = pd.read_csv(tmp_path / "margins.csv").set_index("item")
    support = resolve(pack).role("support")
    expected = left_out_margins(support.x, support.labels, 4).numpy()
    assert table.loc[support.ids.tolist(), "margin"].to_numpy() == pytest.approx(expected)
    assert set(table["part"]) == {"support"}
    assert table["margin"].idxmin() == "photo 2"
    assert (table["margin"] < 0).sum() == 1
    assert "support: 1 of 24 items nearer to another class's mean than theirs" in text
    assert "photo 2  class 3  margin -" in text


def test_a_copy_of_a_query_is_named_beside_its_margin(tmp_path: Path) -> None:
    packs_of_two.write(tmp_path / "small", per_class=6)
    made = CliRunner().invoke(
        main, ["audit", str(tmp_path / "small"), "--threshold", "0.9", "--out", str(tmp_path / "m")]
    )
    assert made.exit_code == 0
    table = pd.read_csv(tmp_path / "m", keep_default_na=False)
    pairs = {
        pair.other: pair.item
        for overlap in audited(resolve(tmp_path / "small"), threshold=0.9).overlaps
        if (overlap.of, overlap.within) == ("query", "support")
        for pair in overlap.pairs
    }
    assert pairs
    assert dict(zip(table["item"], table["duplicate_of"], strict=True)) == {
        item: pairs.get(item, "") for item in table["item"]
    }


def test_what_was_found_bounds_what_was_not(pack: Path) -> None:
    found = run(pack, "--recall", "95/100")
    most = unseen_leaks(0, 20, 95, 100)
    assert (
        f"0 of 20 found; at a recall of 95 of 100, at most {100 * most:.2g} % more have one of that kind unseen"
        in found
    )
    told = json.loads(run(pack, "--recall", "95/100", "--json"))
    assert told["unseen_at_most"] == {"support": pytest.approx(most)}
    assert [row["item"] for row in told["labels"][0]["margins"] if row["margin"] < 0] == ["photo 2"]


def test_texts_that_name_a_class(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a photo of CLASS 1.\n\nclass-2 and class 1\nnothing at all\n")
    text = run(pack, "--texts", tmp_path / "captions.txt", "--show", "1")
    assert "texts: 2 of 3 name a class, 2 classes in all" in text
    assert "class 1  2" in text
    assert "class 2" not in text.split("texts: ")[1]
    assert json.loads(run(pack, "--texts", tmp_path / "captions.txt", "--json"))["texts"] == {
        "texts": 3, "name_a_class": 2, "classes": {"class 1": 2, "class 2": 1},
    }  # fmt: skip


def test_texts_that_name_an_unseen_class(tmp_path: Path) -> None:
    packs_of_two.write(tmp_path / "small")
    manifest = tmp_path / "small" / "pack.yaml"
    manifest.write_text(manifest.read_text() + "class_split: {seen: [0, 1], unseen: [2, 3]}\n")
    (tmp_path / "captions.txt").write_text("class 0\nclass 2\nclass 3 and class 1\n")
    text = run(tmp_path / "small", "--texts", tmp_path / "captions.txt")
    assert "texts: 3 of 3 name a class, 4 classes in all; 2 name an unseen class" in text


@pytest.mark.parametrize("recall", ["95", "a/b", "3/2", "1/0", "1/2/3", "-1/5", "9999999999/99999999999", "\u0663/5"])
def test_a_recall_that_is_none_is_one_line(pack: Path, recall: str) -> None:
    done = CliRunner().invoke(main, ["audit", str(pack), f"--recall={recall}"])
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1
