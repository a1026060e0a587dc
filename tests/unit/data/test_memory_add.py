"""``bench memory add``, ``diff`` and ``checkout``: what is given, where it goes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench.cli.main import main
from bench.data.manifest import read_manifest
from bench.data.pack import write_manifest, write_split
from bench.data.registry import resolve
from bench.data.versions import edits
from bench.data.versions.history import SHORT, History
from bench.utils.errors import BenchError
from tests import toy
from tests.unit.data import packs_of_two
from tests.unit.pictures import lay_out


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    packs_of_two.write(tmp_path / "small")
    return tmp_path / "small"


@pytest.fixture
def features(tmp_path: Path) -> Path:
    np.save(tmp_path / "new.npy", np.eye(3, toy.DIMENSION, dtype=np.float32))
    return tmp_path / "new.npy"


def ask(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["memory", *map(str, arguments)])
    return done.exit_code, done.output


def test_features_of_one_class_are_added_and_compared(pack: Path, features: Path, tmp_path: Path) -> None:
    first = resolve(pack).fingerprint[:SHORT]
    code, said = ask("add", pack, features, "--class", "class 3", "--reason", "more of them")
    assert (code, "added 3 items" in said) == (0, True)
    added = resolve(pack).splits["train"]
    assert int((added.labels == 3).sum()) == 8
    code, said = ask("diff", pack, first, "--show", "1")
    assert code == 0
    assert "3 added" in said
    assert "2 more; --show 3 shows all" in said
    assert ask("diff", pack, first, first)[1] == f"{first} to {first}: no item differs\n"
    assert ask("checkout", pack, first) == (0, f"{pack}: version {first}\n")
    assert resolve(pack).fingerprint.startswith(first)
    code, said = ask("checkout", pack, first, "--out", pack)
    assert (code, "is the pack itself" in said) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "does not say what class its rows are; name it with --class"),
        (["--class", "class 9"], "has no class 'class 9'"),
        (["--class", "class 1", "--split", "test"], "split test holds the queries"),
        (["--class", "class 1", "--split", "trian"], "has no split 'trian'; did you mean"),
    ],
)
def test_what_cannot_be_added_is_one_line_and_changes_nothing(
    pack: Path, features: Path, arguments: list[str], words: str
) -> None:
    before = resolve(pack).fingerprint
    code, said = ask("add", pack, features, *arguments)
    assert (code, said.count("\n")) == (2, 1)
    assert words in said
    assert resolve(pack).fingerprint == before


def test_items_must_be_new_and_of_the_packs_dimension(pack: Path) -> None:
    x = torch.eye(2, toy.DIMENSION)
    for ids in (["photo 3", "a"], ["a", "a"]):
        with pytest.raises(BenchError, match="is there already; remove it first, or give another id"):
            edits.add(History(pack), x, ["class 0", "class 1"], ids)
    with pytest.raises(BenchError, match="an item has an empty id; give it one"):
        edits.add(History(pack), x, ["class 0", "class 1"], ["a", ""])
    with pytest.raises(BenchError, match=f"features of 5 dimensions, the pack has {toy.DIMENSION}"):
        edits.add(History(pack), torch.eye(2, 5), ["class 0", "class 1"], ["a", "b"])


def test_of_several_splits_one_is_named(pack: Path, features: Path) -> None:
    content = read_manifest(pack)
    every = toy.cloud([0, 1], 2, packs_of_two.CLASSES, "more")
    content["splits"]["more"] = write_split(pack, "more", every.x, every.labels, ["photo 0", "m1", "m2", "m3"])
    content["roles"]["support"] = ["train", "more"]
    write_manifest(pack, content)
    code, said = ask("add", pack, features, "--class", "class 0")
    assert (code, "which split is to have the items?" in said) == (2, True)
    assert ask("add", pack, features, "--class", "class 0", "--split", "more")[0] == 0
    assert len(resolve(pack).splits["more"]) == 7
    code, said = ask("remove", pack, "photo 0")
    assert (code, "write SPLIT:photo 0" in said) == (2, True)
    assert ask("remove", pack, "more:photo 0")[0] == 0
    assert "photo 0" not in resolve(pack).splits["more"].ids
    assert "photo 0" in resolve(pack).splits["train"].ids


def test_the_first_version_has_no_edit_to_undo(pack: Path) -> None:
    first = resolve(pack).fingerprint[:SHORT]
    edits.remove(History(pack), items=["photo 3"])
    code, said = ask("revert", pack, first)
    assert (code, "the history begins with it; revert a later one" in said) == (2, True)


def test_images_are_encoded_and_what_is_no_image_is_named(pack: Path, tiny: Path, tmp_path: Path) -> None:
    images = lay_out(tmp_path / "images", {f"class 1/{n}.png": n for n in range(2)})
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    assert ask("add", pack, images, "--encoder", spec)[0] == 0
    assert int((resolve(pack).splits["train"].labels == 1).sum()) == 7
    (images / "class 1" / "0.png").write_bytes(b"no picture")
    code, said = ask("add", pack, images / "class 1" / "0.png", "--class", "class 1", "--encoder", spec)
    assert (code, "leave it out" in said) == (2, True)
