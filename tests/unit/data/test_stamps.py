"""Stamps: pictures on white, halves by a fixed draw, and sentences of the training half alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.standard import declarations, prepare
from bench.utils.errors import BenchError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for folders in declarations()["tuxpaint_stamps"].reader["classes"].values():
        for number in range(4):
            path = tmp_path / "stamps" / folders[0] / "kind" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Red where it is seen, black where it is not.
            pixels = np.zeros((4, 6, 4), dtype=np.uint8)
            pixels[:2] = (200, 0, 0, 255)
            Image.fromarray(pixels, "RGBA").save(path)
            path.with_suffix(".txt").write_text(f"A {folders[0]} no. {number}.\nde.utf8=Etwas.\n")
    beside = tmp_path / "stamps" / "animals" / "birds"
    for left in ("cartoon/tux.png", "kind/0_mirror.png"):
        (beside / left).parent.mkdir(exist_ok=True)
        Image.new("RGBA", (4, 4)).save(beside / left)
    return tmp_path


def test_stamps(folder: Path) -> None:
    found = prepare("tuxpaint_stamps", folder)
    items = found.source.items
    assert len(found.source.class_names) == 12
    assert len(items) == 48
    assert not found.warnings
    train = {item.id for item in items if item.split == "train"}
    assert len(train) == 24
    assert {caption.id.removesuffix("/sentence") for caption in found.captions} == train
    assert all(caption.text.startswith("A ") and caption.text.endswith(".") for caption in found.captions)
    image = np.asarray(Image.open(io.BytesIO(items[0].read())))
    assert image.shape == (4, 6, 3)
    assert image[0, 0].tolist() == [200, 0, 0]
    assert image[3, 0].tolist() == [255, 255, 255]
    again = {item.id for item in prepare("tuxpaint_stamps", folder).source.items if item.split == "train"}
    assert again == train


def test_a_package_that_is_not_whole(folder: Path) -> None:
    for path in (folder / "stamps/plants/trees/kind").glob("[123].png"):
        path.unlink()
    with pytest.raises(BenchError, match="class 'tree' has 1 pictures; install the whole package"):
        prepare("tuxpaint_stamps", folder)
