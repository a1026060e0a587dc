"""Data as the field's tools write it: shards of CLIP_benchmark and img2dataset, Parquet, MedMNIST, trees, names."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bench.data.images import open_source
from bench.data.images.decode import decode
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.registry import resolve
from bench.encoders import load_encoder
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out, noise


def png(seed: int) -> bytes:
    sink = io.BytesIO()
    noise(seed, size=(6, 8)).save(sink, "PNG")
    return sink.getvalue()


def shard(path: Path, samples: dict[str, dict[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, parts in samples.items():
            for ending, data in parts.items():
                member = tarfile.TarInfo(f"{name}.{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def clip_benchmark(root: Path) -> Path:
    for split in ("train", "test"):
        for n in (0, 1):
            samples = {f"s{n}{c}": {"png": png(10 * n + c), "cls": str(c).encode()} for c in (0, 1)}
            shard(root / split / f"{n}.tar", samples)
        (root / split / "nshards.txt").write_text("2")
    (root / "classnames.txt").write_text("big cat\ndog\n")
    (root / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\nthe {c}\n")
    return root


def test_shards_of_clip_benchmark(tmp_path: Path, tiny: Path) -> None:
    source = open_source(clip_benchmark(tmp_path / "data"))
    assert source.class_names == ("big cat", "dog")
    assert source.splits == ("test", "train")
    assert {item.id for item in source.items} >= {"train/0.tar/s00", "train/1.tar/s11"}
    assert [item.class_name for item in source.of_split("train")] == ["big cat", "dog"] * 2
    assert source.templates == ("a photo of a {}.", "the {}")
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    encode_pack(source, tmp_path / "pack", EncodeOptions(encoder=spec, name="x"), cache=None)
    dataset = resolve(tmp_path / "pack")
    one = load_encoder(spec).encode_texts(["a photo of a dog.", "the dog"]).x.mean(0)
    torch.testing.assert_close(dataset.prompts.x[1], one / one.norm(), atol=1e-5, rtol=0)
    assert (len(dataset.role("support")), len(dataset.role("query"))) == (4, 4)


def test_splits_that_shards_are_named_after(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        shard(tmp_path / f"imagenet1k-{split}-0000.tar", {f"{split}{n}": {"png": png(n), "cls": b"0"} for n in (1, 2)})
    assert open_source(tmp_path).splits == ("train", "validation")
    assert open_source(tmp_path / "imagenet1k-train-0000.tar").splits == ("train",)


def test_shards_of_img2dataset(tmp_path: Path) -> None:
    def sample(n: int, **more: Any) -> dict[str, bytes]:
        about = {"caption": f"a picture {n}", "url": f"https://example.org/{n}", "key": str(n), "status": "success"}
        return {"jpg": png(n), "txt": f"a picture {n}".encode(), "json": json.dumps(about | more).encode()}

    shard(tmp_path / "a" / "00000.tar", {f"{n:05}": sample(n, label=("cat", "dog")[n % 2]) for n in range(4)})
    (tmp_path / "a" / "00000_stats.json").write_text("{}")
    source = open_source(tmp_path / "a")
    assert [item.class_name for item in source.items] == ["cat", "dog"] * 2
    # A caption is no class.
    shard(tmp_path / "b" / "00000.tar", {f"{n:05}": sample(n) for n in range(4)})
    with pytest.raises(BenchError, match="no sample has a class") as caught:
        open_source(tmp_path / "b")
    assert "\n" not in str(caught.value)


def parquet(path: Path, *, labels: list[Any], names: list[str] | None = None, column: str = "label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": png(n), "path": f"{n}.png"} for n in range(len(labels))]
    table = pa.table({"image": images, column: labels})
    if names is not None:
        features = {"image": {"_type": "Image"}, column: {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=2)
    return path


def test_parquet_files_of_datasets(tmp_path: Path) -> None:
    for split, labels in (("train", [1, 0, 1]), ("test", [0, -1])):
        parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet", labels=labels, names=["big cat", "dog"])
    source = open_source(tmp_path)
    assert source.class_names == ("big cat", "dog")
    train = source.of_split("train")
    assert [item.class_name for item in train] == ["dog", "big cat", "dog"]
    assert [item.id for item in train][2] == "train-00000-of-00001/2"
    assert [left.reason for left in source.set_aside] == ["a row without a class"]
    for n in (2, 0, 1):
        assert np.array_equal(np.asarray(decode(train[n].read())), np.asarray(decode(png(n))))
    one = open_source(parquet(tmp_path / "words.parquet", labels=["fox", "owl"], column="class"))
    assert (one.class_names, one.splits) == (("fox", "owl"), ("all",))
    fine = parquet(tmp_path / "fine.parquet", labels=[0, 1], names=["apple", "aquarium fish"], column="fine_label")
    assert open_source(fine).class_names == ("apple", "aquarium fish")


def test_medmnist(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 5, 7, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n) % 2)[:, None].astype(np.uint8)
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    source = open_source(tmp_path / "bloodmnist.npz")
    assert (source.class_names, source.splits) == (("0", "1"), ("train", "val", "test"))
    assert np.array_equal(np.asarray(decode(source.items[1].read())), arrays["train_images"][1])
    (tmp_path / "names.txt").write_text("basophil\neosinophil\n")
    named = open_source(tmp_path / "bloodmnist.npz", names_file=tmp_path / "names.txt")
    assert named.items[1].class_name == "eosinophil"
    np.savez(tmp_path / "grey.npz", train_images=arrays["train_images"][..., 0], train_labels=arrays["train_labels"])
    assert decode(open_source(tmp_path / "grey.npz").items[0].read()).mode == "L"


def test_mvtec(tmp_path: Path) -> None:
    files = {
        f"{c}/{p}/{n}.png": n
        for c in ("bottle", "screw")
        for p in ("train/good", "test/good", "test/broken_large", "ground_truth/broken_large")
        for n in (1, 2)
    }
    root = lay_out(tmp_path / "mvtec", files)
    source = open_source(root)
    assert source.class_names == ("bottle broken large", "bottle good", "screw broken large", "screw good")
    assert len(source.items) == 12
    assert open_source(root / "bottle").class_names == ("broken large", "good")


def test_classes_in_groups(tmp_path: Path) -> None:
    files = {f"{p}/{n}.jpg": n for p in ("Plantae/rosa", "Plantae/acer", "Aves/corvus", "Aves/rosa") for n in (1, 2)}
    root = lay_out(tmp_path / "inat", files)
    with pytest.raises(BenchError, match="one level too deep"):
        open_source(root)
    assert open_source(root, nested=True).class_names == ("Aves/rosa", "Plantae/rosa", "acer", "corvus")


def test_names_of_synset_folders(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "x", {f"{c}/{n}.png": n for c in ("n01", "n02", "n03") for n in (1, 2)})
    file = tmp_path / "names.txt"
    file.write_text("n01 tench, Tinca tinca\nn02\tcrane\nn03 crane\nn09 owl\n")
    source = open_source(root, names_file=file)
    assert source.class_names == ("tench", "crane (n02)", "crane (n03)")
    assert {item.class_name for item in source.items} == set(source.class_names)
    file.write_text("fish\nbird\nmachine\n")
    assert open_source(root, names_file=file).class_names == ("fish", "bird", "machine")
    (tmp_path / "names.json").write_text(json.dumps({"n01": "fish", "n02": "bird", "n03": "machine"}))
    assert open_source(root, names_file=tmp_path / "names.json").class_names == ("fish", "bird", "machine")


def test_a_split_of_coop_as_a_table(tmp_path: Path) -> None:
    lay_out(tmp_path / "images", {f"x/{n}.jpg": n for n in range(4)})
    rows = {"train": [["x/0.jpg", 0, "big cat"], ["x/1.jpg", 1, "dog"]], "val": [], "test": [["x/2.jpg", 0, "big cat"]]}
    file = tmp_path / "split_zhou_X.json"
    file.write_text(json.dumps(rows))
    source = open_source(file)
    assert source.splits == ("train", "test")
    assert [item.class_name for item in source.items] == ["big cat", "dog", "big cat"]
    decode(source.items[0].read())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: parquet(t / "x.parquet", labels=[3], names=["a", "b"]), "class 3 has no name"),
        (lambda t: parquet(t / "x.parquet", labels=[0.5, 1.5]), "holds float, no class"),
        (lambda t: parquet(t / "x.parquet", labels=[1], column="score"), "no column that is a class"),
        (lambda t: shard(t / "x.parquet", {"a": {"cls": b"0"}}), "no readable Parquet"),
        (lambda t: shard(t / "x.npz", {"a": {"cls": b"0"}}), "cannot be read: File is not a zip"),
        (lambda t: np.savez(t / "x.npz", x=np.zeros(3)) or t / "x.npz", "no train_images"),
        (
            lambda t: np.savez(t / "x.npz", train_images=np.zeros((2, 3, 3), np.uint8), train_labels=np.zeros((2, 14)))
            or t / "x.npz",
            "not one class an image",
        ),
        (
            lambda t: np.savez(t / "x.npz", train_images=np.zeros((2, 3, 3, 3, 1), np.uint8), train_labels=np.zeros(2))
            or t / "x.npz",
            "volumes are not read",
        ),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_one_line(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=message) as caught:
        open_source(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n01 tench\nn02 crane\n", "no name for class 'n03'"),
        ("fish\nbird\n", "names 2 classes and .* has 3"),
        ("m01 tench\nm02 crane\n", "names 2 classes and .* has 3"),
    ],
)
def test_names_for_other_classes(text: str, message: str, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "x", {f"{c}/1.png": 1 for c in ("n01", "n02", "n03")})
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(BenchError, match=message) as caught:
        open_source(root, names_file=tmp_path / "names.txt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": [["a.jpg", 0, "a"], ["b.jpg", 0, "b"]]}, "label 0 is both"),
        ({"train": {"a.jpg": 0}}, "holds no list"),
        ({"train": [["a.jpg", "a"]], "test": []}, "train 1 is no"),
    ],
)
def test_a_damaged_split_of_coop(content: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps(content))
    with pytest.raises(BenchError, match=message) as caught:
        open_source(tmp_path / "split.json")
    assert "\n" not in str(caught.value)
