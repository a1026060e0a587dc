"""Every standard data set, in a tiny folder laid out as its authors ship it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.declaration import parse
from bench.data.images.decode import decode
from bench.data.registry import resolve
from bench.data.standard import declarations, encode_declared, prepare
from bench.encoders import load_encoder
from bench.utils.errors import BenchError
from tests.unit.data import test_shift_sets
from tests.unit.pictures import lay_out

COOP = {
    "caltech101": ("caltech-101", "split_zhou_Caltech101.json", "101_ObjectCategories"),
    "oxford_pets": ("oxford_pets", "split_zhou_OxfordPets.json", "images"),
    "stanford_cars": ("stanford_cars", "split_zhou_StanfordCars.json", "."),
    "flowers102": ("oxford_flowers", "split_zhou_OxfordFlowers.json", "jpg"),
    "food101": ("food-101", "split_zhou_Food101.json", "images"),
    "sun397": ("sun397", "split_zhou_SUN397.json", "SUN397"),
    "dtd": ("dtd", "split_zhou_DescribableTextures.json", "images"),
    "eurosat": ("eurosat", "split_zhou_EuroSAT.json", "2750"),
    "ucf101": ("ucf101", "split_zhou_UCF101.json", "UCF-101-midframes"),
}


def coop(name: str) -> Callable[[Path], None]:
    folder, file, images = COOP[name]

    def build(root: Path) -> None:
        places = {"train": ("x/1.jpg", "y/2.jpg"), "val": ("x/3.jpg", "y/4.jpg"), "test": ("x/5.jpg", "y/6.jpg")}
        if name == "stanford_cars":
            places = {
                split: tuple(f"cars_{'test' if split == 'test' else 'train'}/{p.replace('/', '_')}" for p in paths)
                for split, paths in places.items()
            }
        content = {split: [[a, 0, "big cat"], [b, 1, "dog"]] for split, (a, b) in places.items()}
        (root / folder / images).mkdir(parents=True)
        (root / folder / file).write_text(json.dumps(content))
        every = [path for pair in places.values() for path in pair]
        lay_out(root / folder / images, {path: seed for seed, path in enumerate(every)})

    return build


def imagenet(root: Path) -> None:
    base = root / "imagenet"
    splits = [(split, synset) for split in ("train", "val") for synset in ("n01", "n02", "n03")]
    lay_out(base, {f"images/{split}/{synset}/a.JPEG": seed for seed, (split, synset) in enumerate(splits)})
    (base / "classnames.txt").write_text("n01 big cat\nn02 crane\nn03 crane\n")


def imagenet_s(root: Path) -> None:
    imagenet(root)
    (root / "imagenet/class_split.json").write_text(
        json.dumps({"seen": ["n01"], "validation": ["n03"], "unseen": ["n02"]})
    )


def imagenet100(root: Path) -> None:
    imagenet(root)
    (root / "imagenet/imagenet100.txt").write_text("n03\nn01\n")


def cifar(name: str, folder: str, labels: str, files: tuple[str, str], skip: int) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        base = root / name / folder
        base.mkdir(parents=True)
        (base / labels).write_text("cat\ndog\n\n")
        rng = np.random.default_rng(0)
        for file in files:
            rows = [
                np.concatenate([np.full(skip, 9), [label], rng.integers(0, 256, 3072)]).astype(np.uint8)
                for label in (0, 1)
            ]
            (base / file).write_bytes(b"".join(row.tobytes() for row in rows))

    return build


def cub(root: Path) -> None:
    base = root / "CUB_200_2011"
    names = ["001.Black_footed_Albatross", "002.Crow", "003.Wren"]
    images = [f"{name}/{n}.jpg" for name in names for n in (1, 2)]
    lay_out(base / "images", {path: seed for seed, path in enumerate(images)})
    (base / "images.txt").write_text("".join(f"{n} {path}\n" for n, path in enumerate(images, 1)))
    (base / "image_class_labels.txt").write_text("".join(f"{n} {(n + 1) // 2}\n" for n in range(1, 7)))
    (base / "train_test_split.txt").write_text("".join(f"{n} {n % 2}\n" for n in range(1, 7)))
    (base / "classes.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(names, 1)))
    for file, name in zip(("trainclasses1.txt", "valclasses1.txt", "testclasses.txt"), names, strict=True):
        (base / file).write_text(f"{name}\n")


def aircraft(root: Path) -> None:
    base = root / "fgvc_aircraft"
    lay_out(base / "images", {f"000{n}.jpg": n for n in range(6)})
    for n, split in enumerate(("train", "val", "test")):
        (base / f"images_variant_{split}.txt").write_text(f"000{2 * n} 707-320\n000{2 * n + 1} Cessna 172\n")
    (base / "variants.txt").write_text("707-320\nCessna 172\n")


def mini_imagenet(root: Path) -> None:
    base = root / "mini_imagenet"
    names = {"train": "n01", "val": "n02", "test": "n03"}
    lay_out(base / "images", {f"{c}_{n}.jpg": 10 * n + int(c[1:]) for c in names.values() for n in range(5)})
    for split, label in names.items():
        rows = "".join(f"{label}_{n}.jpg,{label}\n" for n in range(5))
        (base / f"{split}.csv").write_text("filename,label\n" + rows)


def webvision(root: Path) -> None:
    base = root / "webvision"
    lay_out(base, {f"google/q1/{n}.jpg": n for n in range(2)} | {f"flickr/q1/{n}.jpg": 5 + n for n in range(2)})
    lay_out(base / "val_images_256", {f"val{n}.jpg": 10 + n for n in range(2)})
    (base / "info").mkdir()
    for source in ("google", "flickr"):
        (base / f"info/train_filelist_{source}.txt").write_text(f"{source}/q1/0.jpg 0\n{source}/q1/1.jpg 1\n")
    (base / "info/val_filelist.txt").write_text("val0.jpg 0\nval1.jpg 1\n")
    (base / "info/synsets.txt").write_text("n01 tench, Tinca tinca\nn02 goldfish, Carassius auratus\n")


BUILD: dict[str, Callable[[Path], None]] = {
    **{name: coop(name) for name in COOP},
    "imagenet": imagenet,
    "imagenet_s": imagenet_s,
    "imagenet100": imagenet100,
    "cifar10": cifar("cifar10", "cifar-10-batches-bin", "batches.meta.txt", ("data_batch_1.bin", "test_batch.bin"), 0),
    "cifar100": cifar("cifar100", "cifar-100-binary", "fine_label_names.txt", ("train.bin", "test.bin"), 1),
    "cub": cub,
    "fgvc_aircraft": aircraft,
    "mini_imagenet": mini_imagenet,
    "webvision": webvision,
}


def test_every_declared_data_set_is_built_here() -> None:
    assert {*BUILD, *test_shift_sets.BUILD, "tuxpaint_stamps"} == set(declarations())


@pytest.mark.parametrize("name", sorted(BUILD))
def test_prepare_and_encode(name: str, tiny: Path, tmp_path: Path) -> None:
    BUILD[name](tmp_path / "data")
    found = prepare(name, tmp_path / "data")
    for item in found.source.items:
        decode(item.read())
    assert found.warnings
    assert "classes" in found.warnings[0]
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    encode_declared(name, tmp_path / "data", tmp_path / "pack", encoder=spec, cache=None)
    dataset = resolve(tmp_path / "pack")
    dataset.check()
    declared = declarations()[name]
    assert dataset.card.licence == declared.licence
    assert dataset.card.citation == declared.citation
    assert len(dataset.role("support"))
    assert len(dataset.role("query"))
    prompts = load_encoder(spec).encode_texts([declared.templates[0].replace("{}", n) for n in dataset.class_names])
    torch.testing.assert_close(dataset.prompts.x, prompts.x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(BUILD))
def test_what_is_missing_is_named_with_where_to_get_it(name: str, tmp_path: Path) -> None:
    declared = declarations()[name]
    with pytest.raises(BenchError, match="Get it from https://") as caught:
        prepare(name, tmp_path)
    for path in declared.requires:
        assert path in str(caught.value)
    assert "\n" not in str(caught.value)
    BUILD[name](tmp_path)
    first = next(iter(declared.requires)).split("|")[0]
    place = tmp_path / declared.folder / first
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(BenchError, match=r"lacks") as caught:
        prepare(name, tmp_path)
    assert first in str(caught.value)


def test_details_of_the_layouts(tmp_path: Path) -> None:
    for name in BUILD:
        BUILD[name](tmp_path / name)
    found = {name: prepare(name, tmp_path / name) for name in BUILD}
    assert list(found["imagenet"].display.values()) == ["big cat", "crane (1)", "crane (2)"]
    assert found["imagenet100"].source.class_names == ("n03", "n01")
    assert found["imagenet_s"].class_split == {"seen": ["n01"], "validation": ["n03"], "unseen": ["n02"]}
    assert found["cub"].class_split["unseen"] == ["003.Wren"]
    assert found["cub"].display["001.Black_footed_Albatross"] == "Black footed Albatross"
    assert [i.split for i in found["cub"].source.items] == ["train", "test"] * 3
    assert found["mini_imagenet"].class_split == {"seen": ["n01"], "validation": ["n02"], "unseen": ["n03"]}
    assert [i.split for i in found["mini_imagenet"].source.items[:5]] == ["test"] + ["train"] * 4
    assert found["webvision"].source.splits == ("google", "flickr", "test")
    assert list(found["webvision"].display.values()) == ["tench", "goldfish"]
    assert found["fgvc_aircraft"].source.class_names == ("707-320", "Cessna 172")
    # The folder itself may be given too.
    assert prepare("dtd", tmp_path / "dtd/dtd").source.class_names == ("big cat", "dog")


def test_cifar_pixels(tmp_path: Path) -> None:
    BUILD["cifar100"](tmp_path)
    raw = np.fromfile(tmp_path / "cifar100/cifar-100-binary/train.bin", np.uint8).reshape(2, 3074)
    item = prepare("cifar100", tmp_path).source.items[1]
    assert item.class_name == "dog"
    pixels = np.asarray(decode(item.read()))
    assert np.array_equal(pixels, raw[1, 2:].reshape(3, 32, 32).transpose(1, 2, 0))


def test_cifar_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(BenchError, match="incomplete or damaged"):
        prepare("cifar10", tmp_path)

    class Fake:
        classes = ("cat", "dog")

        def __init__(self, root: Path, *, train: bool, download: bool) -> None:
            assert root == tmp_path
            assert not download
            self.data = np.full((2, 32, 32, 3), 7 if train else 9, dtype=np.uint8)
            self.targets = [1, 0]

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Fake)
    items = prepare("cifar10", tmp_path).source.items
    assert [(i.id, i.class_name, i.split) for i in items][1:3] == [
        ("train/1", "cat", "train"),
        ("test/0", "dog", "test"),
    ]
    assert int(np.asarray(decode(items[2].read())).max()) == 9


def test_imagenet_s_draws_its_split_by_a_fixed_seed(tmp_path: Path) -> None:
    from bench.data.standard.readers import class_folders

    imagenet(tmp_path)
    shares = {"seen": 1, "validation": 1, "unseen": 1}
    splits = {"train": "images/train", "val": "images/val"}
    drawn = [class_folders(tmp_path / "imagenet", splits=splits, shares=shares).class_split for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert sorted(c for part in drawn[0].values() for c in part) == ["n01", "n02", "n03"]


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("dtd", "dtd/split_zhou_DescribableTextures.json", "{", "no CoOp split"),
        ("dtd", "dtd/split_zhou_DescribableTextures.json", '{"train": []}', "no CoOp split"),
        (
            "dtd",
            "dtd/split_zhou_DescribableTextures.json",
            '{"train": [["../../x.jpg", 0, "a"]], "val": [], "test": []}',
            "leaves",
        ),
        (
            "dtd",
            "dtd/split_zhou_DescribableTextures.json",
            '{"train": [["x.jpg", 0, "a"], ["y.jpg", 0, "b"]], "val": [], "test": []}',
            "label 0 is both",
        ),
        ("cifar10", "cifar10/cifar-10-batches-bin/test_batch.bin", "short", "truncated"),
        ("cifar10", "cifar10/cifar-10-batches-bin/batches.meta.txt", "cat\n", "label 1 has no name"),
        ("imagenet100", "imagenet/imagenet100.txt", "n09\n", "n09 is missing"),
        ("imagenet_s", "imagenet/class_split.json", '{"seen": ["n77"]}', "names class 'n77'"),
        ("webvision", "webvision/info/synsets.txt", "n01 tench\n", "label 1 has no line"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, file: str, text: str, message: str) -> None:
    BUILD[name](tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(BenchError, match=message) as caught:
        prepare(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_one_level_too_deep(tmp_path: Path) -> None:
    imagenet(tmp_path)
    deep = tmp_path / "imagenet/images"
    for split in ("train", "val"):
        (deep / split).rename(deep / "x")
        (deep / "x").mkdir(exist_ok=True)
        (deep / split).mkdir()
        (deep / "x").rename(deep / split / "ILSVRC")
    with pytest.raises(BenchError, match="no image in class folders"):
        prepare("imagenet", tmp_path)


def test_unknown_names_and_declarations(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="did you mean 'imagenet'"):
        prepare("imagnet", tmp_path)
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\n")
    with pytest.raises(BenchError, match="missing key"):
        parse(bad)
    good = Path(parse.__code__.co_filename).parent / "standard" / "dtd.yaml"
    bad.write_text(good.read_text() + "nmae: y\n")
    with pytest.raises(BenchError, match="unknown key 'nmae'; did you mean 'name'"):
        parse(bad)


def test_naming_a_standard_data_set_says_how_to_encode_it() -> None:
    with pytest.raises(BenchError, match=r"bench data prepare fgvc_aircraft --root DIR"):
        resolve("fgvc_aircraft")
