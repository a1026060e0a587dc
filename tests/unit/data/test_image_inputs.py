"""Images as people have them: deep greys, odd names, links, pipes, archives of other systems."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.cache import FeatureCache
from bench.data import thumbnails as shows
from bench.data.images import image_folder, image_table, open_source, tar_shards
from bench.data.images.decode import decode
from bench.data.images.items import Unusable
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.registry import resolve
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out, noise


def grey() -> np.ndarray:
    """A smooth grey picture of every value, uint8 [64, 80]."""
    return np.linspace(0, 255, 64 * 80).reshape(64, 80).round().astype(np.uint8)


def stored(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, kind, **options)
    return sink.getvalue()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(float).ravel(), b.astype(float).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# -- pixels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        stored(grey().astype(np.uint16) * 257, "PNG"),
        stored(grey().astype(np.uint16) * 257, "TIFF"),
        stored(grey().astype(">u2") * np.uint16(257), "TIFF"),
        b"P5 80 64 65535\n" + (grey().astype(">u2") * 257).astype(">u2").tobytes(),
        b"P5 80 64 1023\n" + (grey().astype(np.uint32) * 1023 // 255).astype(">u2").tobytes(),
        stored((grey() / 255).astype(np.float32), "TIFF"),
    ],
    ids=["png-16", "tiff-16", "tiff-16-big-endian", "pgm-16", "pgm-10", "tiff-float"],
)
def test_deep_greys_look_as_their_eight_bit_picture(content: bytes) -> None:
    found = decode(content)
    assert found.mode == "L"
    pixels = np.asarray(found.convert("RGB"))[..., 0]
    assert np.abs(pixels.astype(int) - grey()).max() <= 1
    assert cosine(pixels, grey()) > 0.9999


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (stored(grey().astype(np.int32) * 1000, "TIFF"), "32 bits have no usual range"),
        (stored(grey().astype(np.float32), "TIFF"), "outside 0 to 1"),
        (stored(np.full((8, 8), np.nan, np.float32), "TIFF"), "outside 0 to 1"),
        (stored(np.full((8, 8), -0.5, np.float32), "TIFF"), "outside 0 to 1"),
    ],
)
def test_values_without_a_scale_are_set_aside(content: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        decode(content)


def test_a_mode_without_a_way_to_rgb_is_set_aside() -> None:
    sink = io.BytesIO()
    Image.new("LAB", (8, 8)).save(sink, "TIFF")
    with pytest.raises(Unusable, match="LAB"):
        decode(sink.getvalue())


def test_orientation_and_alpha_are_as_in_torchvision_and_open_clip() -> None:
    picture = noise(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    sink = io.BytesIO()
    picture.save(sink, "PNG", exif=exif)
    assert np.array_equal(np.asarray(decode(sink.getvalue()).convert("RGB")), np.asarray(picture))
    clear = picture.copy()
    clear.putalpha(0)
    sink = io.BytesIO()
    clear.save(sink, "PNG")
    assert np.array_equal(np.asarray(decode(sink.getvalue()).convert("RGB")), np.asarray(picture))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("content", [EPS, b"/* XPM */\n", b"", noise(1).tobytes(), b"II*\0" + bytes(40)])
def test_a_thumbnail_goes_through_the_same_door(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    def started(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    assert shows.thumbnail(content) is None


def test_a_thumbnail_of_a_deep_grey_is_no_white_square() -> None:
    png = shows.thumbnail(stored(grey().astype(np.uint16) * 257, "PNG"))
    assert png is not None
    assert cosine(np.asarray(Image.open(io.BytesIO(png)))[..., 0], grey()) > 0.999


@settings(max_examples=120)
@given(st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "PPM", "BMP", "WEBP"]), st.data())
def test_a_damaged_image_is_an_image_or_a_reason(kind: str, data: st.DataObject) -> None:
    sink = io.BytesIO()
    noise(1).resize((12, 9)).save(sink, kind)
    content = bytearray(sink.getvalue())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    said = ""
    try:
        decode(bytes(content)).convert("RGB")
    except Unusable as error:
        said = str(error)
    assert "\n" not in said


# -- folders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("support", "query", "validation"),
    [
        ("Train", "Test", "Valid"),
        ("TRAIN", "TEST", "VAL"),
        ("training", "testing", "dev"),
        ("train2017", "test-2015", "val2017"),
    ],
)
def test_folders_of_splits_in_any_spelling(tmp_path: Path, support: str, query: str, validation: str) -> None:
    lay_out(tmp_path, {f"{s}/{c}/a.png": 1 for s in (support, query, validation) for c in ("cat", "dog")})
    source = image_folder(tmp_path)
    assert set(source.splits) == {support, query, validation}
    assert source.class_names == ("cat", "dog")


def test_a_stranger_beside_splits_is_asked_about(tmp_path: Path) -> None:
    lay_out(tmp_path, {f"{s}/cat/a.png": 1 for s in ("train", "test", "extra")})
    with pytest.raises(BenchError, match="'extra', which is none"):
        image_folder(tmp_path)


def test_what_is_left_out_of_a_folder_is_said(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/cat/a.png": 1, "test/cat/b.png": 2, "__MACOSX/train/cat/._a.png": 3})
    (tmp_path / "train" / "dog").mkdir()
    (tmp_path / "train" / "cat" / ".DS_Store").write_text("x")
    (tmp_path / "test" / "cat" / "loop.png").symlink_to("loop.png")
    with open(os.fsencode(tmp_path) + b"/train/cat/caf\xe9.png", "wb") as stream:
        stream.write(b"x")
    source = image_folder(tmp_path)
    assert source.class_names == ("cat",)
    assert {s.id: s.reason.split(":")[0] for s in source.set_aside} == {
        "__MACOSX": "made by macOS's archiver",
        "train/dog": "a class folder without an image",
        "train/cat/.DS_Store": "hidden",
        "train/cat/caf\\udce9.png": "its name is not UTF-8",
        "test/cat/loop.png": "cannot be followed",
    }
    json.dumps([s.id for s in source.set_aside]).encode()


def test_class_folders_are_compared_as_they_are_read(tmp_path: Path) -> None:
    lay_out(tmp_path / "a", {"train/caf\u00e9/a.png": 1, "test/cafe\u0301/b.png": 2, "test/dog /c.png": 3})
    source = image_folder(tmp_path / "a")
    assert source.class_names == ("caf\u00e9", "dog")
    assert {item.class_name for item in source.of_split("test")} == {"caf\u00e9", "dog"}
    assert len(source.notes) == 2
    for number, pair in enumerate((("caf\u00e9", "cafe\u0301"), ("dog", "dog "), ("Dog", "dog"))):
        lay_out(tmp_path / str(number), {f"{name}/a.png": 1 for name in pair})
        with pytest.raises(BenchError, match="differ only in") as caught:
            image_folder(tmp_path / str(number))
        assert "\n" not in str(caught.value)


def test_pipes_are_set_aside_and_never_waited_for(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat/a.png": 1})
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (pipe,) = (item for item in image_folder(tmp_path).items if "pipe" in item.id)
    with pytest.raises(Unusable, match="no regular file"):
        pipe.read()


def test_a_relative_link_is_followed_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path / "data", {"cat/a.png": 1, "dog/b.png": 2})
    (tmp_path / "data" / "dog" / "c.png").symlink_to(Path("../cat/a.png"))
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(tmp_path / "data" / "cat")
    for root in (Path("../../link"), tmp_path / "link", Path("..")):
        assert [item.id for item in image_folder(root).items] == ["cat/a.png", "dog/b.png", "dog/c.png"]
        assert all(item.read() for item in image_folder(root).items)


# -- tables ------------------------------------------------------------------------------------------------------


def test_a_table_of_another_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, {"x/a.png": 1, "x/b c.png": 2})
    (tmp_path / "x" / "link.png").symlink_to("a.png")
    text = (
        "\ufeffpath, class ,split\r\nx\\a.png,caf\u00e9,Train\r\nx\\b c.png,cafe\u0301 ,Test\r\nx/link.png,fox,Test\r\n"
    )
    (tmp_path / "list.CSV").write_text(text, encoding="utf-8", newline="")
    monkeypatch.setenv("HOME", str(tmp_path))
    source = open_source(Path("~/list.CSV"))
    assert [(i.id, i.class_name, i.split) for i in source.items] == [
        ("x/a.png", "caf\u00e9", "Train"),
        ("x/b c.png", "caf\u00e9", "Test"),
        ("x/link.png", "fox", "Test"),
    ]
    assert all(item.read() for item in source.items)
    assert len(source.notes) == 1


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("t.csv", "path,class\ncafé.png,cat\n".encode("cp1252"), "not UTF-8"),
        ("t.csv", "path,class\na.png,cat\n".encode("utf-16"), "not UTF-8"),
        ("t.csv", b"path,class\na.png," + b"x" * 200_000 + b"\n", "after line 1 it is no CSV"),
        ("t.csv", b"path,class,class\na.png,cat,dog\n", "two columns of one name"),
        ("t.csv", b"path,class,split\na.png,cat,../victim\n", "separator of folders"),
        ("t.csv", b"path,class,split\na.png,cat,texts\n", "a pack's own file"),
        ("t.csv", b"path,class,split\na.png,cat,train\nb.png,cat,Train\n", "differ only in case"),
        ("t.csv", b"path,class\na\\b.png,cat\na/b.png,dog\n", "more than once"),
        ("t.csv", b"path,class\n..\\..\\x.png,cat\n", "leaves"),
        ("t.csv", b"path,class\na.png, \n", "empty name"),
        ("t.csv", b"", "no column"),
        ("t.json", b'[["a\\u0000.png", "cat"]]', "is no path"),
        ("t.json", b'[["\\ud800.png", "cat"]]', "is no path"),
        ("t.json", b'[["a.png", true]]', "is no name"),
        ("t.json", b'[["a.png", ["cat"]]]', "is no name"),
        ("t.json", b'{"a.png": "cat", "a.png": "dog"}', "given twice"),
        ("t.json", b"[" * 5000, "damaged"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, file: str, content: bytes, words: str) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(BenchError, match=words) as caught:
        image_table(tmp_path / file)
    assert "\n" not in str(caught.value)


def test_odd_files_of_a_table_are_set_aside_when_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    # The first is what CoOp's paths are recognised by.
    names = ["x" * 300 + ".png", "pipe.png", "loop.png", "none.png", "y/" * 3000 + "z.png"]
    (tmp_path / "t.csv").write_text("path,class\n" + "".join(f"{name},cat\n" for name in names))
    for item in image_table(tmp_path / "t.csv").items:
        with pytest.raises(Unusable):
            item.read()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(BenchError, match="a pipe"):
        open_source(tmp_path / "pipe.csv")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet='path,class\n"\r\\/.x{}[]:é\0', max_size=50), st.sampled_from(["t.csv", "t.json"]))
def test_any_table_is_a_source_or_one_line(tmp_path: Path, text: str, file: str) -> None:
    (tmp_path / file).write_bytes((("path,class\n" if file == "t.csv" else "") + text).encode())
    said = ""
    try:
        image_table(tmp_path / file)
    except BenchError as error:
        said = str(error)
    assert "\n" not in said


# -- shards ------------------------------------------------------------------------------------------------------


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_odd_samples_of_a_shard_are_set_aside(tmp_path: Path) -> None:
    png = stored(grey(), "PNG")
    path = shard(
        tmp_path / "0.tar",
        {"a.png": png, "a.cls": "\ufeffcafe\u0301\n".encode(), "b.png": png, "b.cls": "caf\u00e9".encode("cp1252"),
         "c.png": png, "c.json": b"[" * 5000, "d.png": png, "d.json": b'{"class": true}', "e.png": png,
         "e.txt": b"x" * ((1 << 20) + 1), "f.png": png, "f.json": b'{"label": 7}'},
    )  # fmt: skip
    source = tar_shards([path])
    assert [(item.id, item.class_name) for item in source.items] == [("0.tar/a", "caf\u00e9"), ("0.tar/f", "7")]
    assert {s.id[-1]: s.reason.split(" (")[0] for s in source.set_aside} == {
        "b": "its class cannot be read: it is not UTF-8",
        "c": "a sample without a class",
        "d": "a sample without a class",
        "e": "its class cannot be read: 1048577 bytes of it",
    }
    digit = shard(tmp_path / "1.tar", {"a.png": png, "a.cls": "²".encode()})
    with pytest.raises(BenchError, match="not among"):
        tar_shards([digit], class_names=["cat", "dog", "fox"])


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_shard_is_a_source_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    files = {"a.png": stored(grey(), "PNG"), "a.cls": b"cat", "b.png": b"x", "b.txt": b"dog"}
    content = bytearray(shard(tmp_path / "whole.tar", files).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        # Most of a small archive is padding: the headers are what a reader believes.
        at = data.draw(st.sampled_from([0, 512 * (2 + (len(files["a.png"]) + 511) // 512 - 1)]))
        content[at + data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.tar"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]) if data.draw(st.booleans()) else content)
    said = ""
    try:
        for item in tar_shards([path]).items:
            item.read()
    except (BenchError, Unusable) as error:
        said = str(error)
    assert "\n" not in said


# -- all of it ---------------------------------------------------------------------------------------------------


def test_a_folder_of_such_images_becomes_a_pack(tiny: Path, tmp_path: Path) -> None:
    places = [f"{split}/{name}/{n}.png" for split in ("Train", "TEST") for name in ("no", "007") for n in (1, 2)]
    root = lay_out(tmp_path / "x", {place: seed for seed, place in enumerate(places)})
    (root / "Train" / "no" / "deep.png").write_bytes(stored(grey().astype(np.uint16) * 257, "PNG"))
    (root / "Train" / "no" / "flat.png").write_bytes(stored(grey(), "PNG"))
    os.mkfifo(root / "Train" / "no" / "pipe.png")
    options = EncodeOptions(encoder=f"tiny-vit:{tiny}/tiny-vit.safetensors", name="x", templates="name")
    made = encode_pack(image_folder(root), tmp_path / "pack", options, cache=FeatureCache(tmp_path / "cache"))
    data = resolve(tmp_path / "pack")
    assert data.class_names == ("007", "no")
    assert dict(data.roles) == {"support": ("Train",), "query": ("TEST",), "validation": ()}
    assert [s.reason for s in made.set_aside] == [
        "unreadable file: it is no regular file but a pipe, a socket or a device"
    ]
    support = data.role("support")
    rows = {name: support.x[n] for n, name in enumerate(support.ids.tolist())}
    deep, flat = rows["Train/no/deep.png"], rows["Train/no/flat.png"]
    assert float(deep @ flat) > 0.999
