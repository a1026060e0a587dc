"""The folder of a classifier: what was changed, is newer, or is of another encoder is refused in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench import BenchError, Classifier
from bench.classifier import checksums
from bench.classifier.checksums import tree_digest
from bench.utils import atomic
from tests.unit.classifier.clouds import clouds


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("classifier") / "c"
    return Classifier("gda").fit(*clouds()).save(folder)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "c")
    return tmp_path / "c"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: flip(f / "arrays.safetensors"), "was changed or is damaged"),
        (lambda f: (f / "arrays.safetensors").unlink(), "is missing"),
        (lambda f: (f / "arrays.safetensors").write_bytes(b""), "was changed"),
        (lambda f: edit(f / "classifier.yaml", "format: 1", "format: 2"), "install a newer retrieval-bench"),
        (lambda f: edit(f / "classifier.yaml", "- b\n", "- B\n"), "was changed since it was written"),
        (lambda f: edit(f / "classifier.yaml", "temperature: ", "temperature: 1"), "was changed since it was written"),
        (lambda f: edit(f / "classifier.yaml", "seed: 0", "sea: 0"), "was changed or is damaged"),
        (lambda f: (f / "classifier.yaml").write_text("[]"), "was changed or is damaged"),
        (lambda f: (f / "classifier.yaml").write_text("a: [b"), "was changed or is damaged"),
        (lambda f: (f / "classifier.yaml").write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda f: (f / "classifier.yaml").unlink(), "is no classifier"),
        (lambda f: shutil.rmtree(f), "is no classifier"),
    ],
)
def test_a_folder_that_was_changed_is_refused(folder: Path, change: Callable[[Path], object], said: str) -> None:
    change(folder)
    with pytest.raises(BenchError, match=said) as caught:
        Classifier.load(folder)
    assert "\n" not in str(caught.value)


def test_what_state_and_items_share_is_stored_once(tmp_path: Path) -> None:
    x, y = clouds(100)
    rows = x.astype("float32").nbytes
    for method in ("knn:k=3", "visual-memory"):
        folder = Classifier(method).fit(x, y).save(tmp_path / method.partition(":")[0])
        assert (folder / "arrays.safetensors").stat().st_size < 4 * rows, "as vectors, ids, sources and labels take"
        assert Classifier.load(folder).explain(x[:1])[0].neighbours


def test_its_card_may_be_edited(folder: Path) -> None:
    (folder / "README.md").write_text("ours")
    assert Classifier.load(folder).classes_.tolist() == list("abcd")


def test_another_is_written_over_it_and_nothing_else_is(folder: Path, tmp_path: Path) -> None:
    x, y = clouds()
    before = Classifier.load(folder)
    Classifier("protonet").fit(x, y).save(folder)
    assert [path.name for path in folder.glob("*.safetensors")] == ["arrays.2.safetensors"]
    assert Classifier.load(folder).method == "protonet"
    # Its arrays are mapped, and stay what they were.
    assert before.predict(x).shape == (40,)
    before.remove(classes="a").save(folder)
    assert Classifier.load(folder).classes_.tolist() == list("bcd")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for taken in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(BenchError, match="is no classifier; choose an empty folder"):
            before.save(taken)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_state_that_names_other_code_is_not_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.classifier import folder as module

    monkeypatch.setattr(module, "read_arrays", lambda path, root, allowed: {"os": "system"})
    with pytest.raises(BenchError, match="holds no classifier"):
        Classifier.load(folder)


def test_the_tree_of_hashes_covers_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 64)
    data = np.random.default_rng(0).integers(0, 256, 1000, dtype=np.uint8)
    (tmp_path / "file").write_bytes(data.tobytes())
    roots = {tree_digest(tmp_path / "file")}
    for place in (0, 63, 64, 500, 999):
        other = data.copy()
        other[place] ^= 1
        (tmp_path / "file").write_bytes(other.tobytes())
        roots.add(tree_digest(tmp_path / "file"))
    for part in (data[:-1], np.append(data, 0), data[:960], np.concatenate([data[64:128], data[:64], data[128:]])):
        (tmp_path / "file").write_bytes(part.astype(np.uint8).tobytes())
        roots.add(tree_digest(tmp_path / "file"))
    assert len(roots) == 10


GONE = f".README.md.{atomic._machine()}.999999999.tmp"


@pytest.mark.parametrize("left", [(), ("README.md",), ("README.md", GONE)])
def test_what_a_killed_writer_left_is_written_over(folder: Path, left: tuple[str, ...]) -> None:
    (folder / "classifier.yaml").unlink()
    (folder / "README.md").unlink()
    for name in left:
        (folder / name).write_text("half")
    Classifier("protonet").fit(*clouds()).save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "arrays.safetensors", "classifier.yaml"]


@pytest.mark.parametrize("stranger", ["arrays.safetensors", "README.md", "thesis.tmp", ".mine.tmp", "sub/arrays"])
def test_what_another_program_left_is_not(folder: Path, stranger: str) -> None:
    (folder / "classifier.yaml").unlink()
    if stranger == "README.md":
        (folder / "arrays.safetensors").unlink()
    (folder / stranger).parent.mkdir(exist_ok=True)
    save_file({"x": torch.ones(2)}, folder / stranger)
    content = (folder / stranger).read_bytes()
    with pytest.raises(BenchError, match="is no classifier; choose an empty folder"):
        Classifier("protonet").fit(*clouds()).save(folder)
    assert (folder / stranger).read_bytes() == content
