"""Trees, Parquet files, MedMNIST and shipped data sets as strangers and other systems leave them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data.images import open_source
from bench.data.images import parquet as module
from bench.data.images.items import ImageItem, ImageSource
from bench.data.images.trees import mvtec_tree, nested_tree
from bench.data.standard.prepare import prepare
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out

Tree = Callable[[Path], ImageSource]

TREES: list[tuple[Tree, str]] = [(nested_tree, "birds"), (mvtec_tree, "bottle/test")]
"""A reader, and where its class folders lie."""


def tree(root: Path, place: str, names: tuple[str, ...]) -> Path:
    more = ["bottle/train/good/0.png"] if place.startswith("bottle") else []
    return lay_out(root, dict.fromkeys([*more, *(f"{place}/{name}/1.png" for name in names)], 1))


def odd_names(folder: Path) -> None:
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._1.png").write_bytes(b"x")
    (folder / ".hidden").mkdir()
    (folder / "empty").mkdir()
    os.mkdir(os.fsencode(folder) + b"/caf\xe9")


@pytest.mark.parametrize(("read", "place"), TREES)
def test_trees_read_names_as_folders_do(tmp_path: Path, read: Tree, place: str) -> None:
    root = tree(tmp_path / "x", place, ("cafe\u0301", "fox "))
    odd_names(root / place)
    source = read(root)
    assert {name.removeprefix("bottle ") for name in source.class_names} - {"good"} == {"caf\u00e9", "fox"}
    assert {(Path(one.id).name, one.reason.split(":")[0]) for one in source.set_aside} == {
        ("__MACOSX", "made by macOS's archiver"),
        (".hidden", "hidden"),
        ("empty", "a class folder without an image"),
        ("caf\\udce9", "its name is not UTF-8"),
    }


@pytest.mark.parametrize(("read", "place"), TREES)
@pytest.mark.parametrize("target", ["file", "folder", "upwards"])
def test_links_stay_in_a_tree(tmp_path: Path, read: Tree, place: str, target: str) -> None:
    root = tree(tmp_path / "x", place, ("fox", "owl"))
    lay_out(tmp_path / "private", {"fox/secret.png": 1})
    link, to = {
        "file": (root / place / "fox" / "a.png", tmp_path / "private" / "fox" / "secret.png"),
        "folder": (root / place / "secret", tmp_path / "private" / "fox"),
        "upwards": (root / place / "again", root),
    }[target]
    link.symlink_to(to)
    with pytest.raises(BenchError, match="link") as caught:
        read(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["caf\udce9.png", "\ud800", "a\udfffb"])
def test_no_image_has_a_name_that_is_no_text(name: str) -> None:
    item = ImageItem(name, "fox", lambda: b"")
    with pytest.raises(BenchError, match="is not UTF-8") as caught:
        ImageSource("here", [item], ("fox",))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["x.parquet", "x.npz", "x.tar", "x.csv", "x.json"])
@pytest.mark.parametrize("kind", ["pipe", "loop", "device", "folder", "empty"])
def test_a_source_that_is_no_file_is_one_line(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    else:
        path.symlink_to(path if kind == "loop" else "/dev/zero")
    with pytest.raises(BenchError) as caught:
        open_source(path)
    assert "\n" not in str(caught.value)


def parquet(path: Path, names: Any) -> Path:
    table = pa.table({"image": [{"bytes": b"x", "path": ""}] * 3, "label": [0, 1, 0]})
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path)
    return path


@pytest.mark.parametrize("names", ["ab", [1, 2], {"a": 0, "b": 1}, [["a"], ["b"]], [None, "b"]])
def test_class_names_of_parquet_files_are_texts(tmp_path: Path, names: Any) -> None:
    with pytest.raises(BenchError, match="no list of texts"):
        open_source(parquet(tmp_path / "x.parquet", names))


@pytest.mark.parametrize(("limit", "words"), [("_MOST_ROWS", "has 3 rows"), ("_LARGEST_GROUP", "unpacks to")])
def test_parquet_files_of_too_much_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    path = parquet(tmp_path / "x.parquet", ["a", "b"])
    assert len(open_source(path).items) == 3
    monkeypatch.setattr(module, limit, 2)
    with pytest.raises(BenchError, match=words):
        open_source(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_labels": np.array([-1, 0])}, "no classes"),
        ({"train_labels": np.array([0, 2**40])}, "no classes"),
        ({"train_labels": np.array([0, 2**64 - 1], dtype=np.uint64)}, "no classes"),
        ({"train_labels": np.array(["a", "b"])}, "not one class an image"),
        ({"train_labels": np.array([0, None])}, "objects"),
        ({"train_images": np.zeros((2, 3, 3), np.float32)}, "no pictures of 8 bits"),
        ({"train_images": np.zeros((2, 0, 3, 4), np.uint8)}, "no pictures of 8 bits"),
    ],
)
def test_arrays_that_are_none_of_medmnist(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    arrays = {"train_images": np.zeros((2, 3, 3), np.uint8), "train_labels": np.array([0, 1])}
    np.savez(tmp_path / "x.npz", **(arrays | change))
    with pytest.raises(BenchError, match=words) as caught:
        open_source(tmp_path / "x.npz")
    assert "\n" not in str(caught.value)


ROW = ["a/1.png", 0, "a"]


@pytest.mark.parametrize(
    "rows",
    [[["a/1.png"]], [7], [[*ROW, 1]], [["a/1.png", "x", "a"]], [["a/1.png", [], "a"]], [["\ud800.png", 0, "a"]],
     [["a\0.png", 0, "a"]], [["../a.png", 0, "a"]], [["/etc/passwd", 0, "a"]], [ROW, ROW], [["a/1.png", 1e999, "a"]],
     [["a/1.png", 0, " "]], [["a/1.png", 0, "a"], ["a/2.png", 1, "A"]]],
)  # fmt: skip
def test_a_shipped_data_set_that_is_another_is_one_line(tmp_path: Path, rows: Any) -> None:
    folder = tmp_path / "caltech-101"
    lay_out(folder / "101_ObjectCategories", {"a/1.png": 1})
    text = json.dumps({"train": rows, "val": [], "test": []})
    (folder / "split_zhou_Caltech101.json").write_text(text)
    with pytest.raises(BenchError) as caught:
        prepare("caltech101", tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("file", "text"),
    [("images.txt", "1\n"), ("images.txt", "1 a.jpg\n2 b.jpg\n"), ("classes.txt", "x y\n"), ("classes.txt", "\n"),
     ("image_class_labels.txt", "1 9\n"), ("train_test_split.txt", "7 1\n")],
)  # fmt: skip
def test_lists_of_a_shipped_data_set_that_do_not_fit_are_one_line(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "images").mkdir()
    lists = {"images.txt": "1 a/1.jpg\n", "classes.txt": "1 001.a\n", "image_class_labels.txt": "1 1\n",
             "train_test_split.txt": "1 1\n"}  # fmt: skip
    for name, content in (lists | {file: text}).items():
        (tmp_path / name).write_text(content)
    with pytest.raises(BenchError) as caught:
        prepare("cub", tmp_path)
    assert str(caught.value).isprintable()
