"""From a folder of images to a feature pack that scenarios can use."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image

from bench.cache import FeatureCache
from bench.data.images import image_folder, image_table, to_pack
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.registry import resolve
from bench.encoders import class_texts, load_encoder, read_templates
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out


@pytest.fixture
def spec(tiny: Path) -> str:
    return f"tiny-vit:{tiny}/tiny-vit.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    places = [(split, name, n) for split in ("train", "test") for name in ("big_cat", "dog") for n in (1, 2)]
    files = {f"{split}/{name}/{n}.png": seed for seed, (split, name, n) in enumerate(places)}
    return lay_out(tmp_path / "pets", files)


def test_a_pack_equals_encoding_by_hand(spec: str, tiny: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "train/dog/bad.png").write_bytes(b"x")
    (folder / "train/dog/list.txt").write_text("x")
    options = EncodeOptions(encoder=spec, name="pets", memory=("train",), licence="CC0")
    made = encode_pack(image_folder(folder), tmp_path / "pack", options, cache=FeatureCache(tmp_path / "cache"))
    dataset = resolve(tmp_path / "pack")
    dataset.check()
    assert dataset.class_names == ("big_cat", "dog")
    assert dict(dataset.roles) == {"support": ("train",), "query": ("test",), "validation": ()}
    assert len(dataset.memory.images) == 4
    assert dataset.card.licence == "CC0"

    model, _, preprocess = open_clip.create_model_and_transforms("tiny-vit", pretrained=f"{tiny}/tiny-vit.safetensors")
    rows = dataset.splits["test"]
    with torch.no_grad():
        by_hand = model.eval().encode_image(
            torch.stack([preprocess(Image.open(folder / name)) for name in rows.ids]), normalize=True
        )
    assert torch.allclose(rows.x, by_hand, atol=1e-5)
    texts = class_texts(load_encoder(spec), ["big cat", "dog"], read_templates("imagenet-80"))
    assert torch.allclose(dataset.prompts.x, texts.x, atol=1e-5)

    aside = json.loads((tmp_path / "pack/set_aside.json").read_text())
    assert {a["id"] for a in aside} == {"train/dog/bad.png", "train/dog/list.txt"}
    assert made.manifest["encoder"]["truncated"] > 0
    assert any("set aside" in w for w in made.warnings)
    assert any("context" in w for w in made.warnings)

    again = encode_pack(image_folder(folder), tmp_path / "pack2", options, cache=FeatureCache(tmp_path / "cache"))
    assert again.computed == 0
    assert resolve(tmp_path / "pack2").fingerprint == dataset.fingerprint


def test_hold_out_cuts_every_class(spec: str, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "x", {f"{c}/{n}.png": 10 * n + len(c) for c in ("a", "bbb") for n in range(5)})
    options = EncodeOptions(encoder=spec, name="x", hold_out=0.4, templates="photo")
    encode_pack(image_folder(root), tmp_path / "pack", options, cache=None)
    dataset = resolve(tmp_path / "pack")
    assert dataset.splits["test"].labels.bincount().tolist() == [2, 2]
    assert dataset.splits["train"].labels.bincount().tolist() == [3, 3]
    assert not set(dataset.splits["train"].ids) & set(dataset.splits["test"].ids)


def test_before_the_projection_there_are_no_texts(spec: str, folder: Path, tmp_path: Path) -> None:
    options = EncodeOptions(encoder=spec, name="pets", projected=False)
    made = encode_pack(image_folder(folder), tmp_path / "pack", options, cache=None)
    assert made.manifest["dimension"] == 32
    assert not len(resolve(tmp_path / "pack").prompts)
    assert any("projection" in w for w in made.warnings)


def test_declared_names_templates_and_class_split(spec: str, folder: Path, tmp_path: Path) -> None:
    options = EncodeOptions(
        encoder=spec,
        name="pets",
        display={"big_cat": "lion"},
        template_strings=("one {}.",),
        class_split={"seen": ["dog"], "unseen": ["big_cat"]},
    )
    encode_pack(image_folder(folder), tmp_path / "pack", options, cache=None)
    dataset = resolve(tmp_path / "pack")
    assert dataset.class_names == ("lion", "dog")
    assert dict(dataset.class_split) == {"seen": (1,), "unseen": (0,)}
    direct = load_encoder(spec).encode_texts(["one lion.", "one dog."]).x
    assert torch.allclose(dataset.prompts.x, direct, atol=1e-5)


def test_wrong_requests_write_nothing(spec: str, folder: Path, tmp_path: Path) -> None:
    source = image_folder(folder)
    cases = [
        (EncodeOptions(encoder=spec, name="x", query=("tset",)), "did you mean 'test'"),
        (EncodeOptions(encoder=spec, name="x", query=("train",), support=("train",)), "splits of their own"),
        (EncodeOptions(encoder=spec, name="x", hold_out=0.2), "without splits"),
        (EncodeOptions(encoder="tiny-vat:x", name="x"), "unknown architecture"),
        (EncodeOptions(encoder=spec, name="x", display={"dog": "Big_Cat"}), "differ only in case"),
    ]
    for options, message in cases:
        with pytest.raises(BenchError, match=message):
            encode_pack(source, tmp_path / "pack", options, cache=None)
    broken = lay_out(tmp_path / "broken", {"train/a/1.png": 1, "train/b/1.png": 2})
    for name in ("a", "b"):
        (broken / "test" / name).mkdir(parents=True)
        (broken / "test" / name / "1.png").write_bytes(b"x")
    with pytest.raises(BenchError, match="no image of split 'test' can be used"):
        encode_pack(image_folder(broken), tmp_path / "pack", EncodeOptions(encoder=spec, name="x"), cache=None)
    assert not (tmp_path / "pack").exists()


def test_a_table_with_splits(spec: str, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("path,class,split\ntrain/dog/1.png,hound,train\ntest/dog/1.png,hound,test\n"
                     "train/big_cat/1.png,lion,train\ntest/big_cat/1.png,lion,test\n")  # fmt: skip
    source = image_table(table, root=folder)
    encode_pack(source, tmp_path / "pack", EncodeOptions(encoder=spec, name="x"), cache=None)
    dataset = resolve(tmp_path / "pack")
    assert dataset.class_names == ("hound", "lion")
    assert dataset.splits["test"].ids.tolist() == ["test/dog/1.png", "test/big_cat/1.png"]


@pytest.mark.parametrize(
    ("templates", "out", "said"),
    [
        ("nope", "pack", "neither a text file nor known templates"),
        ("latin.txt", "pack", "not UTF-8"),
        ("bare.txt", "pack", "exactly one"),
        ("empty.txt", "pack", "no template"),
        ("name", "bare.txt", "a file and no folder"),
    ],
)
def test_what_can_be_refused_before_anything_is_encoded(
    spec: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, templates: str, out: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("ein Bild für {}\n".encode("latin-1"))
    (tmp_path / "bare.txt").write_text("a photo\n")
    (tmp_path / "empty.txt").write_text("\ufeff# none\n\n")
    monkeypatch.setattr(to_pack, "encode_source", None)
    options = EncodeOptions(encoder=spec, name="x", templates=templates)
    with pytest.raises(BenchError, match=said) as caught:
        encode_pack(image_folder(folder), Path(out), options, cache=None)
    assert "\n" not in str(caught.value)
