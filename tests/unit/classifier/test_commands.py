"""``bench fit`` and ``bench predict``: two commands from a folder of labelled photos to an answer on a new one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file, save_file

from bench import Classifier
from bench.cli.main import main
from bench.data.glyphs.catalogue import characters
from bench.data.glyphs.render import draw
from tests.unit.pictures import lay_out, noise


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="bench")


def refused(*words: object) -> str:
    done = bench(*words)
    assert done.exit_code == 2, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("bench: ")
    return lines[0]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "photos", {f"{c}/{n}.png": 10 * i + n for i, c in enumerate("xyz") for n in range(4)})


@pytest.fixture
def spec(tiny: Path) -> str:
    return f"tiny-vit:{tiny}/tiny-vit.safetensors"


def test_two_commands_from_photos_to_an_answer(photos: Path, spec: str, tmp_path: Path) -> None:
    made = bench("fit", "--method", "knn:k=1", "--data", photos, "--encoder", spec, "--out", "classifier")
    assert made.exit_code == 0, made.output
    assert "knn(k=1) over 3 classes, fitted to 12 items" in made.output
    assert "bench predict classifier IMAGE" in made.output
    # An image it has seen, in another mode and size.
    odd = tmp_path / "new.png"
    Image.open(photos / "y" / "2.png").convert("RGBA").save(odd)
    done = bench("predict", "classifier", odd, photos / "z", "--format", "json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["label"] for row in rows] == ["y", "z", "z", "z", "z"]
    assert rows[0]["neighbours"][0]["item"] == "y/2.png"
    assert rows[0]["input"] == str(odd)
    table = bench("predict", "classifier", odd)
    assert "y/2.png (y, 1.00)" in table.stdout
    lines = list(csv.DictReader(bench("predict", "classifier", odd, "--format", "csv").stdout.splitlines()))
    assert lines[0]["label"] == "y"
    assert lines[0]["neighbours"].startswith("y/2.png=y")
    none = bench("predict", "classifier", odd, "--none-below", "0.99", "--format", "csv")
    assert ",none of these," in none.stdout


def test_two_commands_on_glyphs_with_the_bundled_encoder(tmp_path: Path) -> None:
    chosen = [c for c in characters() if c.char in "AOX"]
    for character in chosen:
        for n in range(4):
            split, folder = ("train", tmp_path / "photos" / character.char) if n < 3 else ("test", tmp_path / "new")
            folder.mkdir(parents=True, exist_ok=True)
            pixels = draw(character.char, seed=0, split_name=split, index=n)
            Image.fromarray(pixels).save(folder / f"{character.char}{n}.png")
    made = bench("fit", "--method", "gda", "--data", "photos", "--encoder", "glyphs", "--out", "classifier")
    assert made.exit_code == 0, made.output
    done = bench("predict", "classifier", "new", "--format", "json")
    assert {row["input"]: row["label"] for row in json.loads(done.stdout)} == {f"new/{c}3.png": c for c in "AOX"}
    card = (tmp_path / "classifier" / "README.md").read_text()
    assert "| encoder | glyphs, space glyphs@" in card
    assert "95 % Wilson interval" in card


def test_images_that_cannot_be_used_are_said_and_the_others_answered(photos: Path, spec: str, tmp_path: Path) -> None:
    (photos / "x" / "broken.jpg").write_bytes(b"no image")
    made = bench("fit", "--method", "protonet", "--data", photos, "--encoder", spec, "--out", "c")
    assert made.exit_code == 0
    assert "set aside x/broken.jpg: not an image of a known format" in made.stderr
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    done = bench("predict", "c", "bomb.png", "missing.png", photos / "x" / "0.png", "--format", "csv")
    assert done.exit_code == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["bench", "bench"]
    assert "missing file" in done.stderr
    assert f"{photos}/x/0.png,x," in done.stdout


def test_another_encoder_is_refused(photos: Path, spec: str, tiny: Path, tmp_path: Path) -> None:
    assert bench("fit", "--method", "protonet", "--data", photos, "--encoder", spec, "--out", "c").exit_code == 0
    picture = photos / "x" / "0.png"
    other = {k: v + 0.01 if v.is_floating_point() else v for k, v in load_file(tiny / "tiny-vit.safetensors").items()}
    save_file(other, tmp_path / "other.safetensors")
    said = refused("predict", "c", picture, "--encoder", f"tiny-vit:{tmp_path}/other.safetensors")
    assert "has other weights" in said
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes((tiny / "tiny-vit.safetensors").read_bytes())
    assert bench("predict", "c", picture, "--encoder", f"tiny-vit:{moved}").exit_code == 0
    assert "has other weights" in refused("predict", "c", picture, "--encoder", "glyphs")


def test_new_classes_get_texts_by_the_encoder_of_the_folder(photos: Path, spec: str) -> None:
    made = Classifier("zero-shot", encoder=spec).fit(photos)
    made.save("c")
    made = Classifier.load("c").add([noise(77)], "a new class")
    assert made.classes_.tolist() == ["x", "y", "z", "a new class"]
    assert len(made._model_.task.prompts) == 4
    assert made.predict([noise(77)]).shape == (1,)


def test_memory_and_texts_beside_the_photos(photos: Path, spec: str, tmp_path: Path) -> None:
    lay_out(tmp_path / "web", {f"{c}/{n}.png": 500 + 10 * i + n for i, c in enumerate("xyz") for n in range(3)})
    Path("texts.json").write_text(json.dumps({"x": ["an x", "a cross"], "y": ["a y"], "z": ["a z"]}))
    made = bench(
        *("fit", "--method", "mml:adapt_epochs=1", "--data", photos, "--memory", "web", "--texts", "texts.json"),
        *("--encoder", spec, "--out", "c", "--licence", "CC0-1.0"),
    )
    assert made.exit_code == 0, made.output
    task = Classifier.load("c")._model_.task
    assert (len(task.support), len(task.memory.images), len(task.memory.texts)) == (12, 9, 4)
    card = Path("c/README.md").read_text()
    assert "license: cc0-1.0" in card
    assert "9 images and 4 texts" in card
    Path("texts.json").write_text(json.dumps({"w": ["a w"]}))
    said = refused(
        *("fit", "--method", "mml", "--data", photos, "--texts", "texts.json", "--encoder", spec, "--out", "c"),
    )
    assert "no class 'w'" in said


def test_features_without_an_encoder(tmp_path: Path) -> None:
    made = bench("fit", "--method", "slda", "--data", "digits", "--out", "c")
    assert made.exit_code == 0, made.output
    assert "queries" in made.output
    assert "bench predict c FEATURES.npy" in made.output
    d = Classifier.load("c").n_features_in_
    np.save("new.npy", np.random.default_rng(0).random((3, d)))
    done = bench("predict", "c", "new.npy", "--format", "csv")
    assert done.exit_code == 0, done.output
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == [f"new.npy[{n}]" for n in range(3)]
    np.save("new.npy", np.zeros((3, d + 1)))
    assert f"d = {d + 1} and the classifier was fitted at d = {d}" in refused("predict", "c", "new.npy")
    noise(1).save("new.png")
    assert "the encoder is not known" in refused("predict", "c", "new.png")


def test_what_cannot_be_is_one_line(photos: Path, spec: str, tmp_path: Path) -> None:
    assert "give an encoder" in refused("fit", "--method", "gda", "--data", photos, "--out", "c")
    assert "unknown method 'gad'" in refused("fit", "--method", "gad", "--data", "digits", "--out", "c")
    assert "no confidence" in refused("fit", "--method", "gda", "--data", "digits", "--none-below", "2", "--out", "c")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    assert "is no classifier" in refused("fit", "--method", "gda", "--data", "digits", "--out", "full")
    assert "is no classifier" in refused("predict", "nowhere", "x.png")
    assert not (tmp_path / "c").exists()
    (tmp_path / "none").mkdir()
    assert bench("fit", "--method", "protonet", "--data", photos, "--encoder", spec, "--out", "d").exit_code == 0
    assert "holds no image" in refused("predict", "d", "none")
