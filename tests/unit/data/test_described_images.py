"""Image folders whose classes stand in metadata.csv or metadata.jsonl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.data.images import open_source
from bench.data.images.decode import decode
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out

FILES = {"a.png": 0, "deep/b.png": 1, "c.png": 2}


def test_a_csv_beside_images_names_their_classes(tmp_path: Path) -> None:
    lay_out(tmp_path, FILES)
    (tmp_path / "metadata.csv").write_text('file_name,text,label\na.png,"x, y",cat \ndeep\\b.png,,dog\nc.png,,cat\n')
    found = open_source(tmp_path)
    assert [(item.id, item.class_name) for item in found.items] == [
        ("a.png", "cat"),
        ("deep/b.png", "dog"),
        ("c.png", "cat"),
    ]
    assert found.splits == ("all",)
    for item in found.items:
        decode(item.read())


def test_splits_have_a_table_each_and_numbers_their_names_beside(tmp_path: Path) -> None:
    for split in ("train", "test"):
        lay_out(tmp_path / split, FILES)
        rows = [{"file_name": name, "label": label} for label, name in enumerate(("c.png", "a.png"))]
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    (tmp_path / "classnames.txt").write_text("owl\nfox\n")
    found = open_source(tmp_path)
    assert found.class_names == ("owl", "fox")
    assert {(item.split, item.id, item.class_name) for item in found.items} == {
        ("train", "train/c.png", "owl"),
        ("train", "train/a.png", "fox"),
        ("test", "test/c.png", "owl"),
        ("test", "test/a.png", "fox"),
    }


@pytest.mark.parametrize(
    ("table", "text", "said"),
    [
        ("metadata.csv", "file,label\na.png,cat\n", "row 1 has no file_name"),
        ("metadata.csv", "file_name,caption\na.png,cat\n", "row 1 has no class"),
        ("metadata.csv", "file_name,label\na.png,\n", "is no class"),
        ("metadata.csv", "file_name,label\n../a.png,cat\n", "leaves"),
        ("metadata.csv", "file_name,label\n/a.png,cat\n", "leaves"),
        ("metadata.csv", "file_name,label\na.png,cat\na.png,dog\n", "more than once"),
        ("metadata.csv", 'file_name,label\na.png,"cat\n', "is no CSV"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": true}', "is no class"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": [1]}', "is no class"),
        ("metadata.jsonl", '["a.png", "cat"]', "line 1 is no object"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": "cat"}\n{', "line 2 is no JSON"),
        ("metadata.csv", "", "holds no image"),
    ],
)
def test_odd_tables_are_one_line(table: str, text: str, said: str, tmp_path: Path) -> None:
    lay_out(tmp_path, FILES)
    (tmp_path / table).write_text(text)
    with pytest.raises(BenchError, match=said) as caught:
        open_source(tmp_path)
    assert "\n" not in str(caught.value)


def test_two_tables_a_link_out_and_numbers_beyond_the_names_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "set"
    lay_out(place, FILES)
    lay_out(tmp_path, {"secret.png": 5})
    (place / "out.png").symlink_to(tmp_path / "secret.png")
    (place / "metadata.csv").write_text("file_name,label\nout.png,0\n")
    with pytest.raises(BenchError, match="a link that leaves"):
        open_source(place)
    (place / "metadata.csv").write_text("file_name,label\na.png,2\n")
    with pytest.raises(BenchError, match="not among the 2 class names"):
        open_source(place, class_names=["owl", "fox"])
    (place / "metadata.jsonl").write_text("{}")
    with pytest.raises(BenchError, match="has both"):
        open_source(place)
