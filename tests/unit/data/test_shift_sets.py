"""Queries from elsewhere for ImageNet's images, long-tailed lists and species, in tiny folders as they are shipped."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench import run
from bench.data.images.decode import decode
from bench.data.registry import resolve
from bench.data.standard import declarations, encode_declared, prepare
from bench.encoders import load_encoder
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out, noise

SYNSETS = ("n01", "n02", "n03")


def _imagenet(folder: Path, *, val: bool = False) -> None:
    splits = ("train", "val") if val else ("train",)
    files = {
        f"images/{split}/{synset}/ILSVRC2012_{split}_0000000{3 * s + n}.JPEG": 10 * s
        + n
        + (100 if split == "val" else 0)
        for split in splits
        for s, synset in enumerate(SYNSETS)
        for n in (1, 2)
    }
    lay_out(folder, files)
    (folder / "classnames.txt").write_text("n01 big cat\nn02 crane\nn03 desk lamp\n")


def _shift(folder: str, names: tuple[str, ...]) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        _imagenet(root / "imagenet")
        lay_out(root / folder, {f"{name}/x.jpeg": 50 + row for row, name in enumerate(names)})

    return build


def _objectnet(root: Path) -> None:
    _imagenet(root / "imagenet")
    base = root / "objectnet-1.0"
    lay_out(base / "images", {"cats/a.png": 60, "lamp/b.png": 61, "spoon/c.png": 62})
    (base / "mappings").mkdir()
    folders = {"cats": "Cats", "lamp": "Lamp", "spoon": "Spoon"}
    (base / "mappings/folder_to_objectnet_label.json").write_text(json.dumps(folders))
    classes = {"Cats": "big cat, panther; crane", "Lamp": "desk lamp"}
    (base / "mappings/objectnet_to_imagenet_1k.json").write_text(json.dumps(classes))
    (base / "mappings/imagenet_to_label_2012_v2").write_text("big cat, panther\ncrane\ndesk lamp\n")


def _real(root: Path) -> None:
    _imagenet(root / "imagenet", val=True)
    # Validation images 1, 2, 4, 5, 7, 8 exist: a row is another class, one is none, one is two.
    rows = [[0], [2], [], [1], [], [], [2], [0, 2], []]
    (root / "imagenet/real.json").write_text(json.dumps(rows))


def _listed(name: str) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        if name == "imagenet":
            base, prefix = root / "imagenet", "ImageNet_LT"
            lay_out(base / "images", {"train/n02/a.JPEG": 1, "train/n01/b.JPEG": 2, "val/c.JPEG": 3, "val/d.JPEG": 4})
            (base / "classnames.txt").write_text("n01 big cat\nn02 crane\n")
            rows = {
                "train": "train/n02/a.JPEG 1\ntrain/n01/b.JPEG 0\n",
                "val": "val/c.JPEG 0\n",
                "test": "val/d.JPEG 1\n",
            }
        else:
            base, prefix = root / "places", "Places_LT"
            lay_out(base, {f"data_256/a/{c}/{n}.jpg": n for c in ("airfield", "ice_rink") for n in range(3)})
            lay_out(base, {"data_256/val_x/0.jpg": 9})
            rows = {
                split: f"data_256/a/airfield/{n}.jpg 0\ndata_256/a/ice_rink/{n}.jpg 1\n"
                for n, split in enumerate(("train", "val", "test"))
            }
        for split, text in rows.items():
            (base / f"{prefix}_{split}.txt").write_text(text)

    return build


def _species(root: Path) -> None:
    names = ("00000_Animalia_Annelida_Clitellata_Lumbricus_terrestris", "00001_Plantae_Rosa_canina")
    lay_out(root / "inat21", {f"{s}/{n}/a.jpg": 7 for s in ("train", "val") for n in names})


def _ninco(root: Path) -> None:
    lay_out(root / "NINCO/NINCO_OOD_classes", {f"{c}/{n}.jpg": n for c in ("caracal_caracal", "sky") for n in range(4)})


def _open(root: Path) -> None:
    _imagenet(root / "imagenet", val=True)
    lay_out(root / "imagenet-o", {"n01/rose.JPEG": 70, "n01/sand.JPEG": 71, "n03/moss.JPEG": 72})


def _vtab(name: str) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        base = root / declarations()[name].folder
        for seed, split in enumerate(("train", "test")):
            (base / split).mkdir(parents=True)
            with tarfile.open(base / split / "0.tar", "w") as shard:
                for label in (0, 1):
                    _member(shard, f"s{label}.cls", str(label).encode())
                    _member(shard, f"s{label}.png", _png(10 * seed + label))
        (base / "classnames.txt").write_text("two things\nthree things\n")
        (base / "zeroshot_classification_templates.txt").write_text("a picture of {c}\n")

    return build


def _member(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    shard.addfile(info, io.BytesIO(content))


def _png(seed: int) -> bytes:
    sink = io.BytesIO()
    noise(seed).save(sink, "png")
    return sink.getvalue()


VTAB = [name for name in declarations() if name.startswith("vtab_")]

BUILD: dict[str, Callable[[Path], None]] = {
    "imagenet_v2": _shift("imagenetv2-matched-frequency-format-val", ("0", "2")),
    "imagenet_a": _shift("imagenet-a", ("n01", "n03")),
    "imagenet_r": _shift("imagenet-r", ("n01", "n03")),
    "imagenet_sketch": _shift("sketch", ("n01", "n03")),
    "objectnet": _objectnet,
    "imagenet_real": _real,
    "imagenet_lt": _listed("imagenet"),
    "places_lt": _listed("places"),
    "inat21": _species,
    "ninco": _ninco,
    "imagenet_o": _open,
    **{name: _vtab(name) for name in VTAB},
}


@pytest.mark.parametrize("name", sorted(BUILD))
def test_each_is_read_and_says_what_is_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"lacks .*Get it from http") as caught:
        prepare(name, tmp_path)
    assert "\n" not in str(caught.value)
    BUILD[name](tmp_path)
    found = prepare(name, tmp_path)
    for item in found.source.items:
        decode(item.read())
    splits = found.source.splits
    roles = declarations()[name].roles
    assert {split for part in roles.values() for split in part} <= set(splits)
    short = len(found.source.class_names) < declarations()[name].classes
    assert ["classes" in warning for warning in found.warnings] == [True] * short


def _of(name: str, root: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    BUILD[name](root)
    found = prepare(name, root)
    places: dict[str, list[str]] = {}
    for item in found.source.items:
        places.setdefault(item.split, []).append(f"{item.class_name}:{item.id.rpartition('/')[2]}")
    return dict(found.display), places


@pytest.mark.parametrize("name", ["imagenet_v2", "imagenet_a", "imagenet_r", "imagenet_sketch"])
def test_a_shift_asks_about_its_own_classes_alone(name: str, tmp_path: Path) -> None:
    display, places = _of(name, tmp_path)
    assert display == {"n01": "big cat", "n03": "desk lamp"}
    assert places["test"] == ["n01:x.jpeg", "n03:x.jpeg"]
    assert {entry[:3] for entry in places["train"]} == {"n01", "n03"}


def test_objectnet_joins_the_classes_that_its_map_joins(tmp_path: Path) -> None:
    _, places = _of("objectnet", tmp_path)
    assert places["test"] == ["Cats:a.png", "Lamp:b.png"]
    assert [entry.partition(":")[0] for entry in places["train"]] == ["Cats"] * 4 + ["Lamp"] * 2


def test_real_labels_replace_those_of_the_folders(tmp_path: Path) -> None:
    _, places = _of("imagenet_real", tmp_path)
    found = {entry.rpartition("_")[2]: entry[:3] for entry in places["val"]}
    assert found == {"00000001.JPEG": "n01", "00000002.JPEG": "n03", "00000004.JPEG": "n02", "00000007.JPEG": "n03"}


def test_imagenet_o_knows_the_classes_of_its_folders_and_has_one_that_is_none_of_them(
    tiny: Path, tmp_path: Path
) -> None:
    _, places = _of("imagenet_o", tmp_path)
    none = "none of ImageNet's"
    assert {entry.partition(":")[0] for entry in places["train"]} == {"n01", "n03"}
    assert sorted(entry for entry in places["val"] if entry.startswith(none)) == [
        f"{none}:{file}" for file in ("moss.JPEG", "rose.JPEG", "sand.JPEG")
    ]
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    encode_declared("imagenet_o", tmp_path, tmp_path / "pack", encoder=spec, cache=None)
    settings = {"open-set.unknown": "declared", "open-set.shots": 1}
    frame = run("open-set", ["protonet"], tmp_path / "pack", seeds=1, set=settings).frame
    assert frame["n_queries"].tolist() == [4]
    assert json.loads(frame["condition"].iloc[0]) == {"shots": 1, "unknown": "declared"}
    assert 0 <= json.loads(frame["measures"].iloc[0])["auroc"][0] <= 1


def test_vtab_is_whole_in_nineteen_tasks_and_brings_its_prompts(tiny: Path, tmp_path: Path) -> None:
    assert len(VTAB) == 19
    BUILD["vtab_svhn"](tmp_path)
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    encode_declared("vtab_svhn", tmp_path, tmp_path / "pack", encoder=spec, cache=None)
    dataset = resolve(tmp_path / "pack")
    assert dataset.class_names == ("two things", "three things")
    expected = load_encoder(spec).encode_texts([f"a picture of {name}" for name in dataset.class_names])
    torch.testing.assert_close(dataset.prompts.x, expected.x, atol=1e-5, rtol=0)


def test_lists_and_long_names(tmp_path: Path) -> None:
    display, places = _of("imagenet_lt", tmp_path / "a")
    assert display == {"n01": "big cat", "n02": "crane"}
    assert places == {"train": ["n02:a.JPEG", "n01:b.JPEG"], "val": ["n01:c.JPEG"], "test": ["n02:d.JPEG"]}
    display, _ = _of("places_lt", tmp_path / "b")
    assert list(display.values()) == ["airfield", "ice rink"]
    display, _ = _of("inat21", tmp_path / "c")
    assert list(display.values()) == ["Lumbricus terrestris", "Rosa canina"]
    display, places = _of("ninco", tmp_path / "d")
    assert list(display.values()) == ["caracal caracal", "sky"]
    assert (len(places["train"]), len(places["test"])) == (4, 4)


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("imagenet_v2", "imagenet/classnames.txt", "n01 big cat\n", "no number of a class"),
        ("imagenet_a", "imagenet/classnames.txt", "n01 big cat\n", "no synset"),
        ("imagenet_real", "imagenet/real.json", "{", "damaged"),
        ("imagenet_real", "imagenet/real.json", "[[0]]", "has no row"),
        ("imagenet_real", "imagenet/real.json", "[[9], [9], [9], [9], [9], [9], [9], [9]]", "no number of a class"),
        ("objectnet", "objectnet-1.0/mappings/folder_to_objectnet_label.json", "[]", "no map of names"),
        ("objectnet", "objectnet-1.0/mappings/imagenet_to_label_2012_v2", "crane\n", "no label of ImageNet"),
        ("imagenet_lt", "imagenet/ImageNet_LT_test.txt", "val/d.JPEG\n", "no path with a number"),
        ("imagenet_lt", "imagenet/ImageNet_LT_test.txt", "val/d.JPEG 7\n", "class 7 stands in no list"),
        ("imagenet_o", "imagenet/classnames.txt", "n01 big cat\n", "no synset"),
        ("vtab_svhn", "wds_vtab-svhn/classnames.txt", "two things\n", "class 1"),
        ("vtab_pcam", "wds_vtab-pcam/train/0.tar", "no shard", "no readable tar"),
        ("places_lt", "places/Places_LT_test.txt", "../../x/y.jpg 0\n", "leaves"),
    ],
)
def test_damaged_files(name: str, file: str, text: str, message: str, tmp_path: Path) -> None:
    BUILD[name](tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(BenchError, match=message) as caught:
        prepare(name, tmp_path)
    assert "\n" not in str(caught.value)
