"""Packs written by hand, damaged with the right hash, naming themselves, and replaced while something is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bench.data.import_features import Options, import_pack
from bench.data.manifest import read_manifest
from bench.data.pack import encode_strings, open_pack, write_manifest, write_split
from bench.data.pack_arrays import array_fault
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.data.web import merge, subset
from bench.utils.errors import BenchError
from bench.utils.hashing import file_digest

NAMES = ["no", "007", "1e5"]
N = 6


def make(folder: Path, name: str = "animals", **more: Any) -> Path:
    """Write a pack of six items of three classes, all of them with names that YAML 1.1 reads as something else."""
    rng = np.random.Generator(np.random.Philox(0))
    splits = {}
    for split in ("train", "test"):
        x = torch.from_numpy(rng.standard_normal((N, 4)).astype(np.float32))
        labels = torch.arange(N) % 3
        splits[split] = write_split(folder, split, x, labels, [f"{split}/{n}" for n in range(N)])
    write_manifest(
        folder,
        {"format": 1, "name": name, "revision": "12345678e901", "dimension": 4, "classes": NAMES, "splits": splits,
         "roles": {"support": ["train"], "query": ["test"], "validation": []}, **more},
    )  # fmt: skip
    return folder


def refused(pack: Path, words: str) -> None:
    with pytest.raises(BenchError, match=words) as caught:
        resolve(pack)
    assert "\n" not in str(caught.value)


def test_names_and_revisions_come_back_as_text(tmp_path: Path) -> None:
    data = resolve(make(tmp_path / "p", name="010"))
    assert data.class_names == tuple(NAMES)
    assert data.name == "010"
    assert data.card.revision == "12345678e901"
    text = (tmp_path / "p" / MANIFEST).read_text()
    (tmp_path / "p" / MANIFEST).write_text(text.replace("'no'", "no").replace("'007'", "007").replace("'1e5'", "1e5"))
    assert resolve(tmp_path / "p").class_names == tuple(NAMES), "written by hand, without quotation marks"


# -- manifests written by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        ("images: {split: train}", "memory.images: input should be a valid list"),
        ("images: [{split: train, wrong_class_rate: 10%}]", "wrong_class_rate: input should be a valid number"),
        ("seed: x", "memory.seed: input should be a valid integer"),
        ("{seed: true, images: []}", "memory.seed: input should be a valid integer"),
        ("images: [train]", "memory.images.0: input should be"),
        ("images: [{pack: 7, split: train}]", "pack: input should be a valid string"),
        ("images: [{split: [train]}]", "split: input should be a valid string"),
        ("images: [{pack: ../b}]", "memory entry 0 has no split"),
        ("images: [{split: train, rate: 1}]", "memory entry 0 has rate"),
        ("images: [{split: train, wrong_class_rate: 1.5}]", "less than or equal to 1"),
        ("images: [{split: train, wrong_class_rate: .nan}]", "memory.images"),
        ("images: [{split: train, off_topic: 1.5}]", "off_topic: input should be a valid integer"),
        ("images: [{split: train, off_topic: 99}]", "99 off-topic items are wanted"),
        ("images: [{split: train, off_topic_share: 1}]", "less than 1"),
        ("image: []", "memory.image: extra inputs"),
        ("[]", "memory: input should be"),
        ("train", "memory: input should be"),
        ('images: [{pack: "a\\0b", split: train}]', "not YAML|is no path"),
        ("images: [{split: nowhere}]", "memory names split 'nowhere'"),
    ],
)
def test_a_malformed_memory_is_one_line(tmp_path: Path, memory: str, words: str) -> None:
    pack = make(tmp_path / "p")
    with (pack / MANIFEST).open("a") as stream:
        stream.write("memory:\n  " + memory + "\n")
    refused(pack, words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: animals", "name: ../up", "separator of folders"),
        ("name: animals", "name: " + "x" * 180, "more than 120"),
        ("name: animals", "name: [a]", "name: input should be a valid string"),
        ("dimension: 4", "dimension: 0", "greater than or equal to 1"),
        ("dimension: 4", "dimension: 4\ndimension: 4", "given twice"),
        ("dimension: 4", "dimension: 1:30", "dimension: input should be a valid integer"),
        ("format: 1", "format: true", "format: input should be a valid integer"),
        ("- 'no'", "- ''", "empty name"),
        ("- 'no'", "- {a: b}", "classes.0: input should be a valid string"),
        ("  - train", "  - trian", "roles name split 'trian'"),
        ("file: train.safetensors", "file: /etc/passwd", "outside the pack"),
        ("file: train.safetensors", 'file: "a\\x00b"', "outside the pack|not YAML"),
        ("file: train.safetensors", "file: none.safetensors", "is missing"),
        ("file: train.safetensors", "file: 7", "file: input should be a valid string"),
        ("  train:\n", "  ../train:\n", "separator of folders"),
    ],
)
def test_a_malformed_manifest_is_one_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    pack = make(tmp_path / "p")
    text = (pack / MANIFEST).read_text()
    assert old in text
    (pack / MANIFEST).write_text(text.replace(old, new))
    refused(pack, words)


def test_yaml_that_multiplies_is_refused_at_once(tmp_path: Path) -> None:
    pack = make(tmp_path / "p")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (pack / MANIFEST).write_text("\n".join(lines))
    refused(pack, "more than 1000000 values")


def test_pipes_and_links_to_themselves_are_no_packs(tmp_path: Path) -> None:
    pack = make(tmp_path / "p")
    (pack / "train.safetensors").unlink()
    os.mkfifo(pack / "train.safetensors")
    refused(pack, "a pipe")
    (pack / "train.safetensors").unlink()
    (pack / "train.safetensors").symlink_to("train.safetensors")
    with pytest.raises(BenchError):
        open_pack(pack, resolve)
    (pack / MANIFEST).unlink()
    os.mkfifo(pack / MANIFEST)
    with pytest.raises(BenchError, match=r"no readable pack\.yaml"):
        read_manifest(pack)


@pytest.mark.parametrize("chain", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_packs_whose_memory_comes_from_themselves(tmp_path: Path, chain: list[str]) -> None:
    for name, other in zip(chain, [*chain[1:], chain[0]], strict=True):
        make(tmp_path / name, name, memory={"images": [{"pack": f"../{other}", "split": "train"}]})
    refused(tmp_path / "a", "takes its memory from itself")
    make(tmp_path / "d", "d", memory={"images": [{"pack": "../a", "split": "train"}]})
    make(tmp_path / "a", "a")
    assert len(open_pack(tmp_path / "d", lambda other: open_pack(Path(other), resolve)).memory.images) == N


# -- arrays with the right hash ----------------------------------------------------------------------------------


def whole() -> dict[str, torch.Tensor]:
    return {"x": torch.eye(N, 4) + 0.5, "labels": torch.arange(N, dtype=torch.int32) % 3,
            "ids": encode_strings([f"i{n}" for n in range(N)])}  # fmt: skip


CHANGES: list[tuple[Callable[[dict[str, torch.Tensor]], Any], str]] = [
    (lambda a: a.pop("labels"), "no array 'labels'"),
    (lambda a: a.pop("x"), "no array 'x'"),
    (lambda a: a.update(x=torch.ones(N, 4, dtype=torch.int64)), "floating point"),
    (lambda a: a.update(x=torch.ones(N, 4, dtype=torch.complex64)), "floating point"),
    (lambda a: a.update(x=torch.ones(N)), "floating point"),
    (lambda a: a.update(labels=a["labels"][:, None]), "whole numbers"),
    (lambda a: a.update(labels=a["labels"].float()), "whole numbers"),
    (lambda a: a.update(labels=a["labels"] > 0), "whole numbers"),
    (lambda a: a.update(labels=a["labels"][:2].clone()), "whole numbers"),
    (lambda a: a.update(labels=a["labels"] + 1), "labels run from 1 to 3"),
    (lambda a: a.update(labels=a["labels"] - 1), "labels run from -1"),
    (lambda a: a.update(ids=torch.arange(N)), "ids have shape"),
    (lambda a: a.update(ids=torch.zeros(N, 0, dtype=torch.uint8)), "ids have shape"),
    (lambda a: a.update(ids=torch.full((N, 2), 255, dtype=torch.uint8) - torch.arange(N, dtype=torch.uint8)[:, None]),
     "not UTF-8"),
    (lambda a: a.update(ids=encode_strings(["a", "b", "c", "a", "d", "e"])), "rows 0 and 3 have one id"),
    (lambda a: a.update(ids=encode_strings(["a", "b", "", "c", "d", "e"])), "row 2 has an empty id"),
    (lambda a: a.update(content=torch.zeros(N, 5, dtype=torch.uint8)), "content have shape"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_arrays_that_are_none_of_a_pack(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], Any], words: str
) -> None:
    pack = make(tmp_path / "p")
    arrays = whole()
    change(arrays)
    save_file({k: v.contiguous() for k, v in arrays.items()}, pack / "train.safetensors")
    manifest = yaml.safe_load((pack / MANIFEST).read_text())
    manifest["splits"]["train"]["sha256"] = file_digest(pack / "train.safetensors")
    (pack / MANIFEST).write_text(yaml.safe_dump(manifest))
    refused(pack, words)


@settings(max_examples=80)
@given(st.lists(st.text(alphabet="ab\u00e9", min_size=1, max_size=3), min_size=1, max_size=30))
def test_repeated_ids_are_found_exactly(ids: list[str]) -> None:
    arrays = {"x": torch.ones(len(ids), 2), "labels": torch.zeros(len(ids), dtype=torch.int32)}
    fault = array_fault(arrays | {"ids": encode_strings(ids)})
    assert (fault is not None) == (len(set(ids)) < len(ids))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_file_with_its_hash_is_a_split_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    pack = tmp_path / "p"
    if not pack.exists():
        make(pack)
        save_file(whole(), pack / "whole.safetensors")
    content = bytearray((pack / "whole.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (pack / "changed.safetensors").write_bytes(content)
    manifest = yaml.safe_load((pack / MANIFEST).read_text())
    manifest["splits"]["train"] |= {"file": "changed.safetensors", "sha256": file_digest(pack / "changed.safetensors")}
    (pack / MANIFEST).write_text(yaml.safe_dump(manifest))
    said = ""
    try:
        open_pack(pack, resolve).check()
    except BenchError as error:
        said = str(error)
    assert "\n" not in said


# -- a pack replaced ---------------------------------------------------------------------------------------------


def arrays_file(folder: Path, name: str, seed: int, splits: tuple[str, ...] = ("train", "test")) -> Path:
    x = np.random.Generator(np.random.Philox(seed)).standard_normal((N, 4)).astype(np.float32)
    y = np.arange(N) % 3
    np.savez(folder / name, **{k: v for s in splits for k, v in ((f"{s}_x", x), (f"{s}_y", y))})
    (folder / "classes.txt").write_text("\n".join(NAMES))
    return folder / name


KILLED = """
import os, signal, sys
from pathlib import Path
from bench.data import import_features
from bench.data.import_features import Options, import_pack
moment, count = sys.argv[4], [0]
def stop(real, *given, **named):
    count[0] += 1
    if f"{real.__name__}{count[0]}" == moment: os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)
for name in ("write_split", "write_manifest"):
    real = getattr(import_features, name)
    setattr(import_features, name, lambda *g, real=real, **n: stop(real, *g, **n))
if moment == "half":
    import safetensors.torch as st
    def half(tensors, path, **_): Path(path).write_bytes(b"half"); os.kill(os.getpid(), signal.SIGKILL)
    st.save_file = half
import_pack([Path(sys.argv[1])], Path(sys.argv[2]), Path(sys.argv[3]), Options(name="animals"))
"""


@pytest.mark.parametrize("moment", ["half", "write_split1", "write_split2", "write_manifest3"])
def test_a_killed_import_leaves_the_old_pack_whole_and_the_next_sweeps(tmp_path: Path, moment: str) -> None:
    old, new = arrays_file(tmp_path, "old.npz", 0), arrays_file(tmp_path, "new.npz", 1)
    classes, pack = tmp_path / "classes.txt", tmp_path / "pack"
    import_pack([old], classes, pack, Options(name="animals"))
    (pack / "README").write_text("mine")
    before = resolve(pack).fingerprint
    code = subprocess.run([sys.executable, "-c", KILLED, new, classes, pack, moment], check=False).returncode
    assert code == -9
    assert open_pack(pack, resolve).fingerprint == before
    import_pack([new], classes, pack, Options(name="animals"))
    assert open_pack(pack, resolve).fingerprint != before
    assert len(list(pack.glob("*.safetensors"))) == 2
    assert not list(pack.glob(".*"))
    assert (pack / "README").read_text() == "mine"


def test_replaced_packs_keep_no_arrays_of_the_old(tmp_path: Path) -> None:
    classes, pack = tmp_path / "classes.txt", tmp_path / "pack"
    three = arrays_file(tmp_path, "three.npz", 0, ("train", "test", "val"))
    two = arrays_file(tmp_path, "two.npz", 1)
    for number in range(3):
        import_pack([three], classes, pack, Options(name="animals"))
        assert len(list(pack.iterdir())) == 4, number
        import_pack([two], classes, pack, Options(name="animals"))
        assert len(list(pack.iterdir())) == 3, number
    assert set(open_pack(pack, resolve).splits) == {"train", "test"}


@pytest.mark.parametrize("text", ["[", "[1]", '{"images": 3}', '{"images": [3]}', "[" * 9999])
def test_a_damaged_provenance_is_one_line(tmp_path: Path, text: str) -> None:
    x, labels = torch.ones(N, 4), torch.arange(N) % 3
    splits = {"web": write_split(tmp_path / "m", "web", x, labels, [str(n) for n in range(N)])}
    content = {"format": 1, "name": "m", "dimension": 4, "classes": NAMES, "splits": splits, "roles": {}}
    write_manifest(tmp_path / "m", content)
    (tmp_path / "m" / "provenance.json").write_text(text)
    with pytest.raises(BenchError, match=r"provenance\.json") as caught:
        subset(tmp_path / "m", tmp_path / "few", per_class=1)
    assert "\n" not in str(caught.value)
    (tmp_path / "m" / "provenance.json").write_text('{"images": [{}]}')
    assert len(resolve(subset(tmp_path / "m", tmp_path / "few", per_class=1)).splits["web"]) == 3
    with pytest.raises(BenchError, match="separator of folders"):
        merge([tmp_path / "m", tmp_path / "m"], tmp_path / "two", name="a/b")


def test_a_pack_without_splits_is_refused(tmp_path: Path) -> None:
    pack = make(tmp_path / "p")
    write_manifest(pack, read_manifest(pack) | {"splits": {}, "roles": {}})
    refused(pack, "names no split")
