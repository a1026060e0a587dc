"""Ordinary and odd arrays: the right pack, or one line and nothing written."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cli.main import main
from bench.data.arrays import find_splits, read_arrays
from bench.data.import_features import Imported, Options, import_pack
from bench.data.registry import resolve
from bench.utils.errors import BenchError
from tests.unit.data.animals import NAMES, import_arrays, rows, two


@pytest.mark.parametrize(
    "split",
    ["../victim", "/etc/x", "a/b", "a\\b", ".hidden", "..", "texts", "Prompts", "x" * 200, "a\nb", " a"],
)
def test_a_split_that_cannot_be_a_file_is_refused_before_anything_is_written(tmp_path: Path, split: str) -> None:
    victim = tmp_path / "victim.safetensors"
    victim.write_text("precious")
    arrays = two("train", split)
    (tmp_path / "in").mkdir()
    # Not through numpy.savez, whose archive cannot have such members.
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, tmp_path / "in" / "in.safetensors")
    (tmp_path / "classes.json").write_text(json.dumps(NAMES))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BenchError) as caught:
        import_pack([tmp_path / "in"], tmp_path / "classes.json", tmp_path / "pack",
                    Options(name="animals", support=("train",), query=(split,)))  # fmt: skip
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["../x", "x" * 180, "", "a\0b"])
def test_a_data_set_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BenchError, match="data set"):
        import_arrays(tmp_path, two("train", "test"), name=name)
    assert not (tmp_path / "pack").exists()


def test_splits_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    x, y = rows(0)
    for arrays in ({"Test_x": x, "Test_y": y, "test_x": x, "test_y": y}, {"A_x": x, "a_x": x, "a_y": y}):
        with pytest.raises(BenchError, match="differ only in case"):
            import_arrays(tmp_path, arrays)


def test_splits_are_named_by_their_files(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "test")):
        x, y = rows(seed, per_class=seed + 1)
        np.savez(tmp_path / f"{split}.npz", x=x, y=y)
    (tmp_path / "classes.json").write_text(json.dumps(NAMES))
    files = [tmp_path / "train.npz", tmp_path / "test.npz"]
    made = import_pack(files, tmp_path / "classes.json", tmp_path / "pack", Options(name="animals"))
    assert {name: entry["rows"] for name, entry in made.manifest["splits"].items()} == {"train": 3, "test": 6}
    assert made.manifest["roles"]["support"] == ["train"]


def test_arrays_of_one_name_in_two_files_are_refused(tmp_path: Path) -> None:
    x, y = rows(0)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "train.npz", x=x, y=y)
        np.savez(tmp_path / f"{folder}.npz", test_x=x, test_y=y)
    for pair in (("a/train.npz", "b/train.npz"), ("a.npz", "b.npz")):
        with pytest.raises(BenchError, match=r"is in .* and in"):
            read_arrays([tmp_path / name for name in pair], by_file=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a | {"test_x": a["test_x"] * 1j}, "complex64 are not real numbers"),
        (lambda a: a | {"test_x": a["test_x"] > 0}, "bool are not real numbers"),
        (lambda a: a | {"test_x": a["test_x"].astype("U")}, "are not real numbers"),
        (lambda a: a | {"test_y": a["test_y"].astype(np.float32)}, "not whole numbers"),
        (lambda a: a | {"test_y": a["test_y"][:, None]}, "do not fit"),
        (lambda a: a | {"test_x": a["test_x"][:, :0]}, "do not fit"),
        (lambda a: a | {"test_features": a["test_x"], "test_labels": a["test_y"]}, "there twice"),
        (lambda a: a | {"test_y": a["test_y"].astype(np.uint64) + np.uint64(2**63)}, "is larger than any class"),
        (lambda a: a | {"test_x": a["test_x"].astype(np.float64) * 1e300}, "NaN or infinite"),
        (lambda a: a | {"test_x": a["test_x"] * 0}, "zero vector"),
        (lambda a: a | {"test_x": a["test_x"][:0], "test_y": a["test_y"][:0]}, "'test' has no rows"),
        (lambda a: a | {"train_x": a["train_x"][:0], "train_y": a["train_y"][:0]}, "'train' has no rows"),
        (lambda a: a | {"test_x": a["test_x"].astype(object)}, "one of objects"),
        (lambda a: a | {"test_y": a["test_y"].astype(object)}, "one of objects"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_features(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], words: str
) -> None:
    with pytest.raises(BenchError, match=words) as caught:
        import_arrays(tmp_path, change(two("train", "test")))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pack").exists()


def test_files_that_are_no_arrays_are_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "loop.npy").symlink_to(tmp_path / "loop.npy")
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(1))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "other.bin").write_text("x")
    for name in ("pipe.npz", "loop.npy", "text.npz", "other.bin", "none.npz", "a\0b.npz"):
        with pytest.raises(BenchError) as caught:
            read_arrays([tmp_path / name])
        assert "\n" not in str(caught.value)


def test_an_archive_that_unpacks_to_far_more_than_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((1 << 20, 2)), y=np.zeros(1 << 20, int))
    assert read_arrays([tmp_path / "bomb.npz"])["x"].shape == (1 << 20, 2), "small ones are read"
    monkeypatch.setattr("bench.data.arrays._LARGE", 1 << 20)
    with pytest.raises(BenchError, match="unpack to"):
        read_arrays([tmp_path / "bomb.npz"])


def whole() -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **two("train", "test"))
    return sink.getvalue()


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_archive_is_arrays_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(whole())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.npz"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]) if data.draw(st.booleans()) else content)
    said = ""
    try:
        find_splits(read_arrays([path]), single="all")
    except BenchError as error:
        said = str(error)
    assert "\n" not in said


@settings(max_examples=120)
@given(
    st.dictionaries(
        st.text(alphabet="xyXY_trainestfug", max_size=9) | st.sampled_from(["x", "y", "Test_x", "test_y", "features"]),
        st.sampled_from([np.zeros((2, 3)), np.zeros(2, int), np.zeros(2), np.zeros(()), np.array(["a", "b"])]),
        max_size=5,
    )
)
def test_any_names_and_shapes_are_splits_or_one_line(arrays: dict[str, np.ndarray]) -> None:
    said = ""
    try:
        for x, y in find_splits(arrays, single="all").values():
            assert len(x) == len(y)
    except BenchError as error:
        said = str(error)
    assert "\n" not in said


def test_text_names_in_bytes_are_utf_8_and_others_are_refused(tmp_path: Path) -> None:
    x, _ = rows(0, per_class=1)
    pack = tmp_path / "pack"
    for names, words in (
        (np.array([n.encode() for n in NAMES]), None),
        (np.array([b"fox", "café".encode("cp1252"), b"lynx"]), "not UTF-8"),
        (np.array([1, 2, 3]), "must be text"),
        (np.array(NAMES[:2]), "give one of each"),
        (np.array([NAMES]), "must be .n."),
    ):
        np.savez(tmp_path / "texts.npz", x=x, name=names)
        np.savez(tmp_path / "in.npz", **two("train", "test"))
        (tmp_path / "classes.json").write_text(json.dumps(NAMES))

        def make() -> Imported:
            return import_pack([tmp_path / "in.npz"], tmp_path / "classes.json", pack, Options(name="animals"),
                               texts=[tmp_path / "texts.npz"])  # fmt: skip

        if words is None:
            make()
            assert len(resolve(pack).prompts) == 3
        else:
            with pytest.raises(BenchError, match=words):
                make()


def test_names_without_rows_are_said(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    made = import_arrays(tmp_path / "in", two("train", "test"))
    assert made.warnings == []
    (tmp_path / "in" / "four.txt").write_text("fox\nwolf\nlynx\nyeti\n")
    made = import_pack([tmp_path / "in" / "in.npz"], tmp_path / "in" / "four.txt", tmp_path / "q", Options(name="q"))
    assert len(made.warnings) == 1
    assert "1 of 4 class names stand for a label that no row has, e.g. 'yeti'" in made.warnings[0]


def test_accents_do_not_part_texts_from_their_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **two("train", "test"))
    (tmp_path / "c.txt").write_text("cafe\u0301\nfox\nwolf\n")
    np.savez(tmp_path / "t.npz", x=rows(3, per_class=1)[0], name=np.array(["caf\u00e9", "fox", "wolf"]))
    import_pack(
        [tmp_path / "in.npz"], tmp_path / "c.txt", tmp_path / "p", Options(name="p"), texts=[tmp_path / "t.npz"]
    )
    assert len(resolve(tmp_path / "p").prompts) == 3


def test_the_command_says_it_in_one_line_and_ends_with_status_2(tmp_path: Path) -> None:
    np.savez(tmp_path / "unknown.npz", **two("alpha", "beta"))
    np.savez(tmp_path / "usual.npz", **two("train", "test"))
    (tmp_path / "c.txt").write_text("\n".join(NAMES))
    classes = str(tmp_path / "c.txt")
    for arrays, names, out in (
        ("unknown.npz", classes, "p"),
        ("usual.npz", classes, "x" * 300),
        ("usual.npz", classes, "x" * 300 + "/y"),
        ("x" * 300 + ".npz", classes, "p"),
        ("usual.npz", "x" * 300, "p"),
        ("usual.npz", classes, "/dev/full"),
        ("usual.npz", classes, "c.txt/p"),
    ):
        arguments = ["data", "import", str(tmp_path / arrays), "--classes", names, "--out", str(tmp_path / out)]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2, arguments
        assert done.stderr.count("\n") == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["c.txt", "unknown.npz", "usual.npz"]
