import hashlib
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from bench.data.glyphs import offtopic, render
from bench.utils.random import labelled_generator, labelled_key

CHARS = "AжΩ½≥╬"

PROGRAM = """
import hashlib
from bench.data.glyphs import render
for char in reversed("AжΩ½≥╬"):
    for index in (3, 0):
        image = render.draw(char, seed=5, split_name="test", index=index)
        print(ord(char), index, hashlib.sha256(image.tobytes()).hexdigest())
"""


def draw(char: str, index: int = 0, split_name: str = "test") -> np.ndarray:
    return render.draw(char, seed=5, split_name=split_name, index=index)


def test_same_pixels_in_another_process_and_order() -> None:
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=environment)
    theirs = set(done.stdout.splitlines())
    ours = {
        f"{ord(char)} {index} {hashlib.sha256(draw(char, index).tobytes()).hexdigest()}"
        for char in CHARS
        for index in (0, 3)
    }
    assert ours == theirs


def numpy_state() -> str:
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 - it is what must not move
    return f"{state['pos']} {state['key'].tolist()}"


def test_global_random_state_is_neither_read_nor_moved() -> None:
    random.seed(1)
    before = random.getstate(), numpy_state(), torch.get_rng_state()
    first = draw("A")
    assert random.getstate() == before[0]
    assert numpy_state() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    random.seed(2)
    assert (draw("A") == first).all()


def test_form() -> None:
    image = render.draw("Å", seed=0, split_name="test", index=0, side=40)
    assert image.shape == (40, 40)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("char", CHARS)
def test_draws_vary_and_show_ink(char: str) -> None:
    images = [draw(char, i) for i in range(24)]
    assert len({image.tobytes() for image in images}) == 24
    assert all(np.ptp(image.astype(int)) > 60 for image in images)
    grounds = [float(np.median(image)) for image in images]
    assert np.ptp(grounds) > 25


def test_draws_of_other_seed_split_and_side_differ() -> None:
    other = render.draw("A", seed=6, split_name="test", index=0)
    assert (draw("A") != draw("A", split_name="other")).any()
    assert (draw("A") != other).any()


def test_faces_differ_and_restrict() -> None:
    plain = {render.plain("g", face).tobytes() for face in render.FACES}
    assert len(plain) == len(render.FACES)
    some = render.draw("g", seed=0, split_name="test", index=0, faces=render.FACES[:1])
    assert some.shape == (render.SIDE, render.SIDE)


def test_missing_glyphs_and_faces_are_refused() -> None:
    with pytest.raises(ValueError, match="no face"):
        draw("漢")
    with pytest.raises(ValueError, match="no glyph"):
        render.plain("漢", "DejaVuSans")
    with pytest.raises(ValueError, match="unknown face"):
        render.plain("A", "Arial")


@pytest.mark.parametrize("kind", offtopic.PICTURES)
def test_off_topic_pictures(kind: str) -> None:
    images = [offtopic.picture(labelled_generator(0, kind, i), kind, side=48) for i in range(8)]
    assert all(image.shape == (48, 48) and image.dtype == np.uint8 for image in images)
    assert len({image.tobytes() for image in images}) == 8
    assert (images[0] == offtopic.picture(labelled_generator(0, kind, 0), kind, side=48)).all()


def test_unknown_off_topic_kind() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        offtopic.picture(labelled_generator(0), "cat")


def test_labels_of_streams_are_told_apart() -> None:
    labels: list[tuple[str | int, ...]] = [("ab", "c"), ("a", "bc"), ("abc",), (1,), ("1",), ()]
    assert len({labelled_key(*label) for label in labels}) == len(labels)
