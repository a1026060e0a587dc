"""Where images come from, and what is set aside."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.images import image_folder, image_table, open_source, tar_shards
from bench.data.images.decode import decode, perceptual_hash
from bench.data.images.items import Unusable
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out, noise


def as_bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_one_folder_a_class(tmp_path: Path) -> None:
    lay_out(tmp_path, {"dog/b.png": 1, "cat/a.jpg": 2, "cat/more/c.png": 3})
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / ".hidden").write_text("no image")
    source = image_folder(tmp_path)
    assert source.class_names == ("cat", "dog")
    assert [(i.id, i.class_name) for i in source.items] == [
        ("cat/a.jpg", "cat"),
        ("cat/more/c.png", "cat"),
        ("dog/b.png", "dog"),
    ]
    assert [(s.id, s.reason) for s in source.set_aside] == [
        ("cat/.hidden", "hidden"),
        ("cat/notes.txt", "not an image file (.txt)"),
    ]
    assert source.items[2].read() == (tmp_path / "dog/b.png").read_bytes()


def test_a_folder_a_split(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/cat/a.png": 1, "test/cat/b.png": 2, "test/dog/c.png": 3})
    source = image_folder(tmp_path)
    assert source.splits == ("test", "train")
    assert source.class_names == ("cat", "dog")
    assert [i.id for i in source.of_split("train")] == ["train/cat/a.png"]


def test_a_class_called_test_is_a_class(tmp_path: Path) -> None:
    lay_out(tmp_path, {"test/a.png": 1, "train/b.png": 2})
    assert image_folder(tmp_path).class_names == ("test", "train")


@pytest.mark.parametrize(
    ("files", "below", "message"),
    [
        ({"data/cat/a.png": 1, "data/dog/b.png": 2}, "", "give .*/data"),
        ({"data/test/cat/a.png": 1, "data/train/cat/b.png": 2}, "", "give .*/data$"),
        ({"data/train/cat/a.png": 1, "data/train/dog/b.png": 2}, "", "give .*/data$"),
        ({"all/data/cat/a.png": 1, "all/data/dog/b.png": 2}, "", "give .*/all/data$"),
        ({"cat/a.png": 1, "dog/b.png": 2}, "cat", "one level too deep, give"),
        (
            {"train/cat/a.png": 1, "test/cat/b.png": 2, "train/c.png": 3},
            "",
            "train is a split .* beside",
        ),
        ({"train/cat/a.png": 1, "extra/cat/b.png": 2}, "", "'extra', which is none"),
        ({"cat/a.png": 1, "Cat/b.png": 2}, "", "'Cat' and 'cat' differ only in case"),
    ],
)
def test_wrong_layouts(tmp_path: Path, files: dict[str, int], below: str, message: str) -> None:
    lay_out(tmp_path, files)
    with pytest.raises(BenchError, match=message) as caught:
        image_folder(tmp_path / below)
    assert "\n" not in str(caught.value)


def test_folders_without_images(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for path, message in ((tmp_path, "holds no image"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(BenchError, match=message):
            open_source(path)


@pytest.mark.parametrize("link_to_folder", [True, False])
def test_a_link_that_leaves_the_folder(tmp_path: Path, link_to_folder: bool) -> None:
    lay_out(tmp_path, {"data/cat/a.png": 1, "outside/b.png": 2})
    target = tmp_path / "outside" / ("" if link_to_folder else "b.png")
    (tmp_path / "data" / ("dog" if link_to_folder else "cat/b.png")).symlink_to(target)
    with pytest.raises(BenchError, match="leaves"):
        image_folder(tmp_path / "data")


def test_a_link_that_leads_back(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat/a.png": 1, "dog/b.png": 2})
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    with pytest.raises(BenchError, match="lies in"):
        image_folder(tmp_path)


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat/a.png": 1, "dog/b.png": 2})
    (tmp_path / "dog" / "c.png").symlink_to(tmp_path / "cat" / "a.png")
    assert [i.id for i in image_folder(tmp_path).items] == ["cat/a.png", "dog/b.png", "dog/c.png"]


def test_tables(tmp_path: Path) -> None:
    lay_out(tmp_path, {"x/a.png": 1, "x/b.png": 2})
    csv = tmp_path / "list.csv"
    csv.write_text("path,class,split\nx/a.png,cat,train\nx/b.png,dog,test\n")
    source = image_table(csv)
    assert [(i.id, i.class_name, i.split) for i in source.items] == [
        ("x/a.png", "cat", "train"),
        ("x/b.png", "dog", "test"),
    ]
    forms = ([["x/a.png", "cat"], ["x/b.png", "dog"]], {"x/a.png": "cat", "x/b.png": "dog"})
    forms += ([{"path": "x/a.png", "class": "cat"}, {"path": "x/b.png", "class": "dog"}],)
    for form in forms:
        (tmp_path / "list.json").write_text(json.dumps(form))
        found = open_source(tmp_path / "list.json")
        assert [(i.id, i.class_name) for i in found.items] == [("x/a.png", "cat"), ("x/b.png", "dog")]
    elsewhere = tmp_path / "lists" / "list.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_text("path,class\na.png,cat\nmissing.png,dog\n")
    item, missing = image_table(elsewhere, root=tmp_path / "x").items
    assert item.read() == (tmp_path / "x/a.png").read_bytes()
    with pytest.raises(Unusable, match="missing file"):
        missing.read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,class\n../../etc/passwd,cat\n", "leaves"),
        ("path,class\n/etc/passwd,cat\n", "leaves"),
        ("path,class\na.png,cat\nb.png,CAT\n", "differ only in case"),
        ("path,class\na.png,cat\na.png,dog\n", "more than once"),
        ("path,class\na.png,\n", "row 1 has no class"),
        ("file,class\na.png,cat\n", "no column 'path'; its first line"),
        ("path;class\na.png;cat\n", "separated by ';'"),
        ("path\tclass\na.png\tcat\n", r"separated by '\\t'"),
        ("path,class,split\na.png,Boat, small,train\n", "row 1 has more fields"),
        ("path,class\na.png,cat\nb/../a.png,cat\n", "row 2: .* is 'a.png', which is listed already"),
        ("path,class\n", "holds no image"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(BenchError, match=message) as caught:
        image_table(tmp_path / "list.csv")
    assert "\n" not in str(caught.value)


def test_damaged_json_table(tmp_path: Path) -> None:
    for text, message in (("[", "damaged"), ("3", "neither"), ('["x"]', "entry 1")):
        (tmp_path / "list.json").write_text(text)
        with pytest.raises(BenchError, match=message):
            image_table(tmp_path / "list.json")


def write_tar(path: Path, files: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_webdataset_shards(tmp_path: Path) -> None:
    a, b = as_bytes(noise(1)), as_bytes(noise(2), "JPEG")
    first = write_tar(
        tmp_path / "0.tar",
        [("s/000.png", a), ("s/000.cls", b"1"), ("s/001.jpg", b), ("s/001.json", b'{"label": "cat"}')],
    )
    second = write_tar(tmp_path / "1.tar", [("s/000.seg.png", a), ("s/000.cls", b"0"), ("x.txt", b"cat"), ("y.png", a)])
    source = tar_shards([first, second], class_names=["cat", "dog"])
    assert [(i.id, i.class_name) for i in source.items] == [
        ("0.tar/s/000", "dog"),
        ("0.tar/s/001", "cat"),
        ("1.tar/s/000", "cat"),
    ]
    assert source.items[1].read() == b
    assert [s.reason for s in source.set_aside] == [
        "a sample with 0 images",
        "a sample without a class (.cls, .json or .txt)",
    ]
    assert len(open_source(tmp_path, class_names=["cat", "dog"]).items) == 3
    with pytest.raises(BenchError, match="class 1 has no name"):
        tar_shards([first], class_names=["cat"])
    (tmp_path / "bad.tar").write_bytes(b"not a tar")
    for path, message in ((tmp_path / "bad.tar", "no readable tar"), (tmp_path / "none.tar", "cannot read")):
        with pytest.raises(BenchError, match=message):
            tar_shards([path])


def bomb() -> bytes:
    """A PNG of 60 bytes that claims 50000 x 50000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image"),
        (b"<html>404</html>", "not an image"),
        (as_bytes(noise(1))[:-200], "corrupt"),
        (as_bytes(noise(1), "JPEG")[:-200], "corrupt"),
        (as_bytes(noise(1), "GIF", save_all=True, append_images=[noise(2)]), "animated"),
        (bomb(), "decompression bomb"),
        (as_bytes(Image.new("1", (9500, 9500))), "decompression bomb|huge image"),
    ],
)
def test_images_that_cannot_be_used(data: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        decode(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_every_format_is_read(kind: str) -> None:
    assert decode(as_bytes(noise(1), kind)).size == noise(1).size


def test_perceptual_hash_keeps_through_small_changes() -> None:
    rng = np.random.default_rng(0)
    smooth = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((120, 90)) for _ in range(20)]

    def distance(a: Image.Image, b: Image.Image) -> int:
        return int(np.unpackbits(perceptual_hash(a) ^ perceptual_hash(b)).sum())

    for image in smooth:
        saved = decode(as_bytes(image.resize((80, 60)), "JPEG", quality=60))
        assert distance(image, saved) <= 4
    others = [distance(a, b) for i, a in enumerate(smooth) for b in smooth[:i]]
    assert min(others) > 10
