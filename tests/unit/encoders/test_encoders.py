"""The encoder road equals open_clip by hand, and refuses what it cannot use in one line."""

from __future__ import annotations

import io
import pickle
import shutil
import threading
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from bench.data.images.encode import encode_source
from bench.data.images.items import ImageItem
from bench.encoders import BATCH_TOLERANCE, Encoder, batching, class_texts, load_encoder, read_templates
from bench.encoders.batching import WithinMemory, ahead, decoding_threads
from bench.encoders.projection import Tower
from bench.encoders.prompts import of_strings
from bench.utils.errors import BenchError, Notice

_loaded = cache(load_encoder)

LONG = "a very long sentence about nothing that goes on and on beyond any small context of tokens"


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-resnet"])
def test_features_equal_open_clip_by_hand(tiny: Path, pictures: list[Image.Image], name: str) -> None:
    weights = str(tiny / f"{name}.safetensors")
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=weights)
    model.eval()
    tokenizer = open_clip.get_tokenizer(name)
    encoder = load_encoder(f"{name}:{weights}")
    texts = ["a cat", "two dogs", LONG]
    with torch.no_grad():
        images = model.encode_image(torch.stack([preprocess(p) for p in pictures]), normalize=True)
        sentences = model.encode_text(tokenizer(texts), normalize=True)
    torch.testing.assert_close(encoder.encode_images(pictures, batch=5), images, atol=1e-5, rtol=0)
    encoded = encoder.encode_texts(texts, batch=2)
    torch.testing.assert_close(encoded.x, sentences, atol=1e-5, rtol=0)
    assert encoded.truncated.tolist() == [False, False, True]


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
@pytest.mark.parametrize("name", ["tiny-vit", "tiny-resnet", "glyphs"])
def test_batch_size_does_not_matter(tiny: Path, pictures: list[Image.Image], name: str, batch: int) -> None:
    encoder = _loaded(name if name == "glyphs" else f"{name}:{tiny / name}.safetensors")
    reference = encoder.encode_images(pictures, batch=13)
    again = encoder.encode_images(pictures, batch=batch, workers=2)
    assert (again - reference).abs().max() <= BATCH_TOLERANCE


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-resnet"])
def test_before_projection(tiny: Path, pictures: list[Image.Image], name: str) -> None:
    spec = f"{name}:{tiny / name}.safetensors"
    after, before = load_encoder(spec), load_encoder(spec, projected=False)
    x = before.encode_images(pictures)
    state = after.model.state_dict()
    if name == "tiny-vit":
        projected = x @ state["visual.proj"]
    else:
        # The ResNet's projection has a bias, so unit-norm features cannot be projected again; the width tells.
        assert x.shape[1] == state["visual.attnpool.c_proj.weight"].shape[1]
        projected = None
    if projected is not None:
        torch.testing.assert_close(
            torch.nn.functional.normalize(projected, dim=-1), after.encode_images(pictures), atol=1e-5, rtol=0
        )
    texts = ["a cat", "a dog"]
    again = before.encode_texts(texts).x @ state["text_projection"]
    torch.testing.assert_close(
        torch.nn.functional.normalize(again, dim=-1), after.encode_texts(texts).x, atol=1e-5, rtol=0
    )
    assert after.space != before.space


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.01), ("bf16", 0.06)])
def test_lower_precision(tiny: Path, pictures: list[Image.Image], precision: str, tolerance: float) -> None:
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    full, low = load_encoder(spec), load_encoder(spec, precision=precision)  # type: ignore[arg-type]
    x = low.encode_images(pictures)
    assert x.dtype == low.dtype
    assert 0 < (x.float() - full.encode_images(pictures)).abs().max() < tolerance
    assert full.space != low.space


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_bundled_encoder_in_lower_precision(pictures: list[Image.Image], precision: str) -> None:
    full, low = _loaded("glyphs"), load_encoder("glyphs", precision=precision)  # type: ignore[arg-type]
    for a, b in (
        (full.encode_images(pictures), low.encode_images(pictures)),
        (full.encode_texts(["latin small letter a"]).x, low.encode_texts(["latin small letter a"]).x),
    ):
        assert (torch.nn.functional.cosine_similarity(a, b.float()) > 0.995).all()


def test_loading_leaves_the_random_state_alone(tiny: Path) -> None:
    before = torch.get_rng_state()
    load_encoder(f"tiny-vit:{tiny}/tiny-vit.safetensors")
    load_encoder("glyphs")
    assert torch.equal(before, torch.get_rng_state())


def test_features_can_take_part_in_training(tiny: Path, pictures: list[Image.Image]) -> None:
    x = load_encoder(f"tiny-vit:{tiny}/tiny-vit.safetensors").encode_images(pictures)
    weight = torch.ones(x.shape[1], requires_grad=True)
    (x @ weight).sum().backward()
    assert weight.grad is not None


def test_a_local_folder_and_a_pickle_of_weights(tiny: Path, tmp_path: Path, pictures: list[Image.Image]) -> None:
    x = load_encoder(f"tiny-vit:{tiny}/tiny-vit.safetensors").encode_images(pictures)
    state = open_clip.factory.load_state_dict(str(tiny / "tiny-vit.safetensors"))
    torch.save(state, tmp_path / "weights.bin")
    assert torch.equal(load_encoder(f"tiny-vit:{tmp_path}/weights.bin").encode_images(pictures), x)
    config = (tiny / "tiny-vit.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(f'{{"model_cfg": {config}, "preprocess_cfg": {{}}}}')
    assert torch.equal(load_encoder(f"local-dir:{tmp_path}").encode_images(pictures), x)
    # open_clip does not look for this ending, and would go on with random weights.
    (tmp_path / "weights.bin").rename(tmp_path / "weights.pt")
    with pytest.raises(BenchError, match="one weights file"):
        load_encoder(f"local-dir:{tmp_path}")


class Poison:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_runs_code_is_not_opened(tiny: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    torch.save({"weight": Poison(touched)}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Poison(touched)))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(BenchError, match=r"safetensors") as caught:
            load_encoder(f"tiny-vit:{tmp_path}/{name}")
        assert "\n" not in str(caught.value)
    assert not touched.exists()


def test_what_cannot_be_loaded_says_so_in_one_line(tiny: Path, tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    cases = {
        f"tiny-vit:{tiny}/tiny-resnet.safetensors": "no checkpoint of tiny-vit",
        f"tiny-vit:{tmp_path}/list.pt": "instead of a state_dict",
        f"tiny-vit:{tmp_path}/cut.pt": "cannot be read",
        f"tiny-vit:{tmp_path}/cut.safetensors": "no checkpoint",
        f"tiny-vit:{tmp_path}/missing.pt": "neither a file nor known weights",
        "ViT-B-33:openai": "did you mean",
        "ViT-B-32": "openai",
        "ViT-B-32:openia": "did you mean 'openai'",
        f"local-dir:{tmp_path}/nowhere": "open_clip_config.json",
    }
    for spec, message in cases.items():
        with pytest.raises(BenchError, match=message) as caught:
            load_encoder(spec)
        assert "\n" not in str(caught.value)


def test_the_activation_is_put_right(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "weights.safetensors"
    shutil.copy(tiny / "tiny-vit.safetensors", copy)
    monkeypatch.setitem(
        open_clip.pretrained._PRETRAINED, "tiny-vit", {"openai": {"file": str(copy), "quick_gelu": True}}
    )
    with pytest.warns(UserWarning, match="QuickGELU"):
        encoder = load_encoder("tiny-vit:openai")
    kinds = {type(module).__name__ for module in encoder.model.modules()}
    assert "QuickGELU" in kinds
    assert "GELU" not in kinds
    assert encoder.space["activation"] == ["QuickGELU"]
    assert encoder.notes

    local = tmp_path / "vit-openai.safetensors"
    shutil.copy(copy, local)
    with pytest.warns(UserWarning, match="need QuickGELU"):
        load_encoder(f"tiny-vit:{local}")


def test_the_activation_is_part_of_the_space(tiny: Path, recwarn: pytest.WarningsRecorder) -> None:
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    assert load_encoder(spec).space != load_encoder(spec, quick_gelu=True).space
    assert not [w for w in recwarn if "GELU" in str(w.message)]


def test_prompt_ensemble_is_the_mean_of_unit_vectors(tiny: Path) -> None:
    encoder = load_encoder(f"tiny-vit:{tiny}/tiny-vit.safetensors")
    templates = of_strings(["a {}.", "the {} {braces}", LONG + " {}"], "here")
    found = class_texts(encoder, ["cat", "dog"], templates)
    by_hand = torch.stack([encoder.encode_texts([t(n) for t in templates]).x.mean(0) for n in ("cat", "dog")])
    torch.testing.assert_close(found.x, torch.nn.functional.normalize(by_hand, dim=-1), atol=1e-6, rtol=0)
    assert (found.truncated, found.prompts) == (2, 6)


def test_templates(tmp_path: Path) -> None:
    assert len(read_templates("imagenet-80")) == 80
    assert read_templates("imagenet-80")[0]("cat") == "a bad photo of a cat."
    file = tmp_path / "mine.txt"
    file.write_text("# comment\na {}\n\nthe {} over there\n")
    assert [t("x{y}") for t in read_templates(file)] == ["a x{y}", "the x{y} over there"]
    file.write_text("no place\n")
    for wanted, message in ((file, "exactly one"), ("imagnet-80", "did you mean 'imagenet-80'")):
        with pytest.raises(BenchError, match=message):
            read_templates(wanted)
    file.write_text("\n")
    with pytest.raises(BenchError, match="no template"):
        read_templates(file)


def test_a_batch_too_large_for_memory_is_halved_and_what_fitted_is_remembered_and_said_once() -> None:
    tried: list[int] = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        tried.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError
        return x * 2

    within = WithinMemory("images")
    x = torch.arange(11.0).unsqueeze(1)
    with pytest.warns(Notice, match="too full for 11 images at once, so 2 are encoded at a time"):
        found = within(forward, x)
    assert torch.equal(found, x * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(within(forward, x + 1), (x + 1) * 2)
    assert tried == [11, 5, 2, 2, 2, 2, 2, 1] + [2] * 5 + [1]


def test_a_row_that_does_not_fit_is_one_line() -> None:
    def never(x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(BenchError, match="too little memory for the encoder with one of the texts") as caught:
        WithinMemory("texts")(never, torch.ones(4, 1))
    assert "\n" not in str(caught.value)


def test_what_fitted_holds_for_all_of_an_encoding(pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder("glyphs")
    whole = encoder.encode_images(pictures, batch=len(pictures))
    tried: list[int] = []
    compute = type(encoder)._forward

    def small(self: Encoder, tower: Tower, x: torch.Tensor) -> torch.Tensor:
        tried.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return compute(self, tower, x)

    monkeypatch.setattr(type(encoder), "_forward", small)
    with pytest.warns(Notice):
        first = encoder.encode_images(pictures, batch=4)
    again = encoder.encode_images(pictures, batch=4)
    assert tried.count(4) == 1
    assert torch.equal(first, again)
    assert torch.allclose(first, whole, atol=BATCH_TOLERANCE)


def test_a_device_is_fed_by_all_processors_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for processors, threads in ((1, 1), (2, 1), (8, 7), (96, 16)):
        monkeypatch.setattr(batching, "cores", lambda n=processors: n)
        assert (decoding_threads(gpu), decoding_threads(cpu), decoding_threads(gpu, 3)) == (threads, 1, 3)


def test_work_ahead_ends_with_whoever_asked_for_it() -> None:
    started: list[int] = []
    before = set(threading.enumerate())

    def work(n: int) -> int:
        started.append(n)
        return n

    results = ahead(work, range(10_000), workers=4, depth=64)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before, "a thread goes on"
    assert len(started) <= 64 + 16


@pytest.mark.parametrize("workers", [1, 7])
def test_the_number_of_threads_changes_no_feature(workers: int) -> None:
    rng = np.random.default_rng(0)
    items = []
    for n in range(150):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(file, "PNG")
        data = b"no image" if n % 50 == 7 else file.getvalue()
        items.append(ImageItem(f"{n}", "c", lambda data=data: data, "train"))
    encoder = load_encoder("glyphs")
    one = encode_source(encoder, items, cache=None, batch=16, workers=0)
    many = encode_source(encoder, items, cache=None, batch=16, workers=workers)
    assert torch.equal(one.x, many.x)
    assert [item.id for item in one.items] == [item.id for item in many.items]
    assert one.set_aside == many.set_aside
    assert len(one.set_aside) == 3


def test_work_ahead_keeps_the_order_and_the_depth() -> None:
    started: list[int] = []

    def work(n: int) -> int:
        started.append(n)
        return n * n

    results = ahead(work, range(50), workers=3, depth=6)
    assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
    assert max(started) < 4 + 6
    assert list(results) == [n * n for n in range(4, 50)]


def test_nothing_to_encode() -> None:
    encoder = load_encoder("glyphs")
    assert len(encoder.encode_images([])) == 0
    assert len(encoder.encode_texts([]).truncated) == 0
