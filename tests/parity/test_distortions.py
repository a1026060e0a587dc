"""Distorted images: what each kind does, by numbers that follow from its definition."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from bench.functional.distortions import Distortion, distort
from bench.utils.random import Stream

KINDS = get_args(Distortion)


def picture(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    draw = Stream(3).numpy().integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(draw).convert(mode)


def made(image: Image.Image, kind: Distortion, severity: float, item: str = "a") -> np.ndarray:
    return np.asarray(distort(image, kind, severity, Stream(0).child(item)), dtype=np.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P"])
@pytest.mark.parametrize("size", [(60, 40), (3, 5), (1, 1)])
def test_a_distorted_image_has_its_size_and_is_the_same_each_time(
    kind: Distortion, mode: str, size: tuple[int, int]
) -> None:
    image = picture(mode, size)
    once = made(image, kind, 2.0)
    assert once.shape[:2] == (size[1], size[0])
    assert np.array_equal(once, made(image, kind, 2.0))
    assert distort(image, kind, 0.0, Stream(0)) is image


def test_noise_has_the_standard_deviation_that_is_said() -> None:
    grey = Image.new("L", (200, 200), 128)
    assert made(grey, "noise", 1.0).std() == pytest.approx(255 * 0.08, rel=0.03)
    assert not np.array_equal(made(grey, "noise", 1.0), made(grey, "noise", 1.0, "b"))


def test_contrast_halves_with_each_step_and_keeps_the_mean() -> None:
    image = picture("L")
    plain, flat = np.asarray(image, dtype=np.float64), made(image, "contrast", 2.0)
    assert flat.std() == pytest.approx(plain.std() / 4, rel=0.02)
    assert flat.mean() == pytest.approx(plain.mean(), abs=0.5)


def test_pixels_grow_and_blur_spreads() -> None:
    image = picture("L", (60, 60))
    blocks = made(image, "pixelate", 2.0)
    assert np.array_equal(blocks, np.repeat(np.repeat(blocks[::3, ::3], 3, 0), 3, 1))
    dot = Image.fromarray(np.pad(np.full((1, 1), 255, dtype=np.uint8), 30))
    assert [int((made(dot, "blur", s) > 0).sum()) for s in (1.0, 3.0, 5.0)] == sorted(
        int((made(dot, "blur", s) > 0).sum()) for s in (1.0, 3.0, 5.0)
    )
    assert (made(dot, "blur", 5.0) > 0).sum() > 1


def test_a_covered_square_has_the_share_that_is_said_and_the_mean_colour() -> None:
    image = Image.fromarray(np.full((100, 100, 3), (10, 20, 30), dtype=np.uint8))
    image.paste((250, 250, 250), (0, 0, 100, 50))
    plain, covered = np.asarray(image, dtype=np.float64), made(image, "occlude", 2.5)
    changed = (plain != covered).any(2)
    assert changed.mean() == pytest.approx(0.25)
    assert np.unique(covered[changed], axis=0).tolist() == [[130, 135, 140]]


def test_a_turn_is_one_way_or_the_other_by_the_draw() -> None:
    bar = Image.new("L", (41, 41), 0)
    bar.paste(255, (20, 0, 21, 20))
    sides = set()
    for item in "abcdefgh":
        columns = made(bar, "rotate", 3.0, item)[5].nonzero()[0]
        sides.add(bool(columns.mean() > 20))
    assert sides == {True, False}


def test_jpeg_loses_more_with_severity() -> None:
    image = picture("L").resize((240, 160), Image.Resampling.BICUBIC)
    plain = np.asarray(image, dtype=np.float64)
    lost = [np.abs(made(image, "jpeg", s) - plain).mean() for s in (0.5, 2.0, 5.0)]
    assert lost == sorted(lost)
    assert lost[2] > 2 * lost[0]
