"""Feature packs: importing, reading, a declared memory, and everything that can be wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bench.data.import_features import Options, import_pack
from bench.data.inspect import inspect_dataset
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.utils.errors import BenchError
from tests import toy

NAMES = ["Red_fox", "grey wolf", "lynx", "otter"]


def arrays(n: int = 4, per_class: int = 5, seed: int = 0, d: int = toy.DIMENSION) -> dict[str, np.ndarray]:
    rng = np.random.Generator(np.random.Philox(seed))
    y = np.repeat(np.arange(n), per_class)
    found = {}
    for split in ("shot4", "test"):
        found[f"{split}_x"] = rng.standard_normal((len(y), d)).astype(np.float16)
        found[f"{split}_y"] = y.astype(np.int16)
    return found


def make(folder: Path, name: str = "animals", *, names: list[str] | None = None, **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", **options.pop("arrays", arrays()))
    (folder / "classes.json").write_text(json.dumps(names or NAMES))
    texts = options.pop("texts", [])
    import_pack([folder / f"{name}.npz"], folder / "classes.json", folder / name, Options(name=name, **options),
                texts=texts)  # fmt: skip
    return folder / name


def edit(pack: Path, **changes: Any) -> None:
    manifest = yaml.safe_load((pack / MANIFEST).read_text())
    (pack / MANIFEST).write_text(yaml.safe_dump(manifest | changes))


def test_a_round_trip_keeps_values_labels_and_names(tmp_path: Path) -> None:
    data = resolve(make(tmp_path))
    original = arrays()
    assert data.class_names == tuple(NAMES)
    assert data.splits["test"].x.dtype == torch.float16
    np.testing.assert_array_equal(data.splits["test"].x.numpy(), original["test_x"])
    assert data.splits["test"].labels.tolist() == original["test_y"].tolist()
    assert data.roles == {"support": ("shot4",), "query": ("test",), "validation": ()}
    assert data.splits["test"].ids[3] == "test/3"


def test_npy_files_and_safetensors_import_too(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "npy").mkdir()
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    for key, value in arrays().items():
        np.save(tmp_path / "npy" / f"{key}.npy", value)
    save_file(arrays(), tmp_path / "animals.safetensors")
    a = import_pack([tmp_path / "npy"], tmp_path / "classes.txt", tmp_path / "a", Options(name="animals"))
    b = import_pack(
        [tmp_path / "animals.safetensors"], tmp_path / "classes.txt", tmp_path / "b", Options(name="animals")
    )
    assert a.manifest["revision"] == b.manifest["revision"]
    assert resolve(tmp_path / "a").fingerprint == resolve(tmp_path / "b").fingerprint


def test_a_single_split_can_be_cut(tmp_path: Path) -> None:
    one = arrays()
    np.savez(tmp_path / "one.npz", x=one["test_x"], y=one["test_y"])
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump(dict(enumerate(NAMES))))
    with pytest.raises(BenchError, match="--hold-out"):
        import_pack([tmp_path / "one.npz"], tmp_path / "classes.yaml", tmp_path / "p", Options(name="one"))
    assert not (tmp_path / "p").exists()
    import_pack([tmp_path / "one.npz"], tmp_path / "classes.yaml", tmp_path / "p", Options(name="one", hold_out=0.2))
    data = resolve(tmp_path / "p")
    assert torch.bincount(data.splits["test"].labels).tolist() == [1, 1, 1, 1]


def text_file(folder: Path, names: list[str], sources: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.Philox(7))
    x = rng.standard_normal((len(names), toy.DIMENSION)).astype(np.float16)
    np.savez(folder / "texts.npz", x=x, name=np.array(names), source=np.array(sources))
    return folder / "texts.npz"


def test_texts_are_found_by_name_and_the_first_source_gives_the_prompt(tmp_path: Path) -> None:
    texts = text_file(tmp_path, ["Lynx", "red fox", "lynx", "boat"], ["b", "a", "a", "a"])
    data = resolve(make(tmp_path, texts=[texts]))
    assert sorted(data.memory.texts.labels.tolist()) == [0, 2, 2]
    assert dict(zip(data.prompts.labels.tolist(), data.prompts.ids.tolist(), strict=True)) == {
        0: "text/a/1/0", 2: "text/b/0/2",
    }  # fmt: skip
    chosen = resolve(make(tmp_path / "other", texts=[texts], prompt_source="a"))
    assert "text/a/2/2" in chosen.prompts.ids.tolist()


def test_two_classes_of_one_name_keep_their_own_texts_and_are_renamed(tmp_path: Path) -> None:
    texts = text_file(tmp_path, ["missile", "lynx", "otter", "missile"], ["s"] * 4)
    data = resolve(make(tmp_path, texts=[texts], names=["missile", "lynx", "otter", "missile"]))
    assert data.class_names == ("missile (0)", "lynx", "otter", "missile (3)")
    rows = dict(zip(data.prompts.labels.tolist(), data.prompts.ids.tolist(), strict=True))
    assert rows[0] == "text/s/0/0"
    assert rows[3] == "text/s/3/3"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": NAMES[:2]}, "labels run from 0 to 3 but there are 2 class names"),
        ({"arrays": arrays() | {"test_x": arrays()["test_x"] * np.nan}}, "split test: row 0 .* NaN"),
        ({"arrays": arrays() | {"test_x": arrays()["test_x"] * 0}}, "zero vector"),
        ({"arrays": arrays() | {"test_x": arrays(d=8)["test_x"]}}, "encode all with the same encoder"),
        ({"arrays": arrays() | {"test_y": arrays()["test_y"][:3]}}, "do not fit"),
        ({"arrays": {"test_x": arrays()["test_x"]}}, "has no labels"),
        ({"support": ("train",)}, "--support 'train' is no split"),
        ({"memory": ("web",)}, "--memory 'web' is no split"),
        ({"arrays": {"nonsense": np.zeros(3)}}, "no split found"),
    ],
)
def test_a_bad_import_says_what_is_wrong_and_writes_nothing(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        make(tmp_path, **change)
    assert not (tmp_path / "animals").exists()


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", test_x=np.array([{"a": 1}], dtype=object), test_y=np.zeros(1, int))
    (tmp_path / "classes.json").write_text(json.dumps(NAMES))
    with pytest.raises(BenchError, match="cannot be read"):
        import_pack([tmp_path / "evil.npz"], tmp_path / "classes.json", tmp_path / "p", Options(name="p"))


@pytest.mark.parametrize("damage", ["truncate", "tamper", "delete"])
def test_a_damaged_pack_is_refused(tmp_path: Path, damage: str) -> None:
    pack = make(tmp_path)
    path = pack / "test.safetensors"
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "tamper":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.unlink()
    with pytest.raises(BenchError, match="import the pack again"):
        resolve(pack)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "newer than"),
        ({"dimension": 7}, "the pack says d = 7"),
        ({"splits": {"test": {"file": "../outside.safetensors", "sha256": "0"}}}, "lies outside the pack"),
        ({"memory": {"images": [{"split": "nowhere"}]}}, "memory names split 'nowhere'"),
        ({"memory": {"images": [{"split": "shot4", "rate": 1}]}}, "memory entry 0 has rate"),
        ({"memory": {"images": [{"split": "shot4", "off_topic": -4}]}}, "-4 off-topic items are wanted"),
        ({"format": "new"}, "format: input should be a valid integer"),
        ({"dimension": "wide"}, "dimension: input should be a valid integer"),
        ({"roles": {"support": "shot4"}}, "roles.support: input should be a valid list"),
        ({"splits": {"test": 5}}, "splits.test: input should be"),
        ({"near": 1.5}, "near: input should be less than or equal to 1"),
        ({"class_split": {"unsen": [0]}}, "class_split.unsen"),
        ({"class_split": {"unseen": [0, 4]}}, "class_split names class 4, and there are 4"),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    pack = make(tmp_path)
    edit(pack, **change)
    with pytest.raises(BenchError, match=words):
        resolve(pack)


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    pack = make(tmp_path)
    cases = {b"\xff\xfe\x00": "is not UTF-8", b"a: [": "is not YAML", b"just words": "holds no names with values"}
    for content, words in cases.items():
        (pack / "pack.yaml").write_bytes(content)
        with pytest.raises(BenchError, match=words):
            resolve(pack)


def test_a_folder_that_is_no_pack_says_so(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="is no feature pack"):
        resolve(tmp_path)
    with pytest.raises(BenchError, match="nor a known data set; did you mean 'digits'"):
        resolve("digts")


def test_a_memory_is_declared_from_splits_with_exact_counts(tmp_path: Path) -> None:
    pack = make(tmp_path)
    make(tmp_path, "others", names=["lynx", "boat", "car", "otter"], arrays=arrays(seed=3))
    edit(pack, memory={
        "seed": 1,
        "images": [
            {"split": "shot4", "wrong_class_rate": 0.25},
            {"pack": "../others", "split": "test"},
            {"pack": "../others", "split": "shot4", "off_topic_share": 0.2},
        ],
    })  # fmt: skip
    memory = resolve(pack).memory.images
    own = memory.take(memory.sources == "shot4")
    truth = np.repeat(np.arange(4), 5)
    assert len(own) == 20
    assert int((own.labels.numpy() != truth).sum()) == 5
    by_name = memory.take(memory.sources == "others:test")
    assert sorted(set(by_name.labels.tolist())) == [2, 3], "found under the class of the same name"
    off = memory.take(memory.sources == "off-topic:others:shot4")
    assert len(off) == round(30 * 0.2 / 0.8)
    assert memory.fingerprint == resolve(pack).memory.images.fingerprint


def test_inspection_finds_exact_and_near_duplicates(tmp_path: Path) -> None:
    content = arrays()
    content["test_x"][0] = content["shot4_x"][2]
    content["test_x"][1] = content["shot4_x"][3] * np.float16(1.01)
    report = inspect_dataset(resolve(make(tmp_path, arrays=content)))
    assert report["overlap"]["shot4 in test"] == {"exact": 1, "near": 2}
    assert report["splits"]["test"]["classes"] == 4


def test_reading_a_pack_maps_the_file(tmp_path: Path) -> None:
    """A large split is not copied into memory by opening it."""
    rng = np.random.Generator(np.random.Philox(0))
    x = rng.standard_normal((60_000, 512)).astype(np.float16)
    y = np.arange(len(x)) % 4
    np.savez(tmp_path / "big.npz", train_x=x, train_y=y, test_x=x[:8], test_y=y[:8])
    (tmp_path / "classes.json").write_text(json.dumps(NAMES))
    import_pack([tmp_path / "big.npz"], tmp_path / "classes.json", tmp_path / "big", Options(name="big"))
    first = make(tmp_path)  # whatever the first pack of a process loads besides
    # In a process of its own: what other tests left behind may go at any time, and hide what is added.
    code = (
        "import psutil, sys; from bench.data.registry import resolve; resolve(sys.argv[1]); "
        "process = psutil.Process(); before = process.memory_info().rss; "
        "data = resolve(sys.argv[2]); grown = process.memory_info().rss - before; "
        "print(len(data.splits['train']), grown)"
    )
    command = [sys.executable, "-c", code, str(first), str(tmp_path / "big")]
    rows, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert rows == 60_000
    assert grown < 30 << 20, f"opening a split of 61 MB took {grown >> 20} MiB"
