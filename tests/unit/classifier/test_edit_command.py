"""``bench edit``: a kept classifier is changed by the command as it is in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench import Classifier
from bench.cli.main import main
from tests.unit.pictures import lay_out


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="bench")


def refused(*words: object) -> str:
    done = bench(*words)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 8)).astype("float32") + 3 * np.eye(8, dtype="float32")[np.repeat([0, 1, 2], 4)]
    labels, ids = np.repeat(["a", "b", "c"], 4).tolist(), [f"i{n}" for n in range(12)]
    np.save(tmp_path / "more.npy", x[:2] + 0.1)
    return Classifier("protonet").fit(x, labels, ids=ids).save(tmp_path / "kept")


def test_items_are_added_removed_and_forgotten_with_a_log(kept: Path) -> None:
    added = bench("edit", kept, "add", "more.npy", "--class", "a")
    assert added.exit_code == 0, added.output
    assert "added 2 items, 14 are left, 3 classes" in added.output
    assert "removed 1 item, 13 are left" in bench("edit", kept, "remove", "i3").output
    assert "forgot 1 item, 12 are left" in bench("edit", kept, "forget", "i4").output
    assert "2 classes" in bench("edit", kept, "remove", "--class", "c").output
    said = bench("edit", kept, "log").output
    assert [line.split()[1] for line in said.splitlines()[2:]] == ["add", "remove", "forget", "remove"]
    assert "i3" in said
    assert "i4" not in said


def test_it_is_the_edit_of_python(kept: Path, tmp_path: Path) -> None:
    assert bench("edit", kept, "remove", "i0", "--out", tmp_path / "other").exit_code == 0
    here = Classifier.load(kept).remove("i0")
    there = Classifier.load(tmp_path / "other")
    x = np.random.default_rng(1).standard_normal((5, 8)).astype("float32")
    np.testing.assert_array_equal(here.decision_function(x), there.decision_function(x))
    assert len(Classifier.load(kept).log_) == 0


def test_photos_are_added_by_class_folders(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    photos = lay_out(tmp_path / "photos", {f"{c}/{n}.png": 10 * i + n for i, c in enumerate("xy") for n in range(3)})
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    assert bench("fit", "--method", "knn:k=1", "--data", photos, "--encoder", spec, "--out", "kept").exit_code == 0
    web = lay_out(tmp_path / "web", {"y/7.png": 70, "z/8.png": 80})
    done = bench("edit", "kept", "add", web, "--source", "web")
    assert done.exit_code == 0, done.output
    assert "added 2 items, 8 are left, 3 classes" in done.output
    assert "z" in bench("predict", "kept", web / "z" / "8.png").output
    assert "removed 2 items" in bench("edit", "kept", "remove", "--source", "web").output


def test_what_makes_no_sense_is_one_line(kept: Path, tmp_path: Path) -> None:
    for words, why in (
        (("remove", "i99"), "holds no item 'i99'"),
        (("remove", "--class", "d"), "has no class 'd'"),
        (("remove", "--source", "webb"), "holds no source 'webb'"),
        (("remove",), "nothing to remove"),
        (("add",), "nothing to add"),
        (("add", "more.npy"), "does not say what class its rows are"),
        (("add", "photo.jpg"), "what class does photo.jpg show"),
        (("add", "more.npy", "--class", "a", "--class", "b"), "one --class"),
        (("sharpen",), "'sharpen' is not one of"),
    ):
        assert why in refused("edit", kept, *words)
    assert "no classifier" in refused("edit", tmp_path / "nothing", "log")
    assert "log prints all edits, and has no use for 'photo'" in refused("edit", kept, "log", "photo")
