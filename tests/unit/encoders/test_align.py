"""ALIGN equals transformers by hand, and refuses what it cannot use in one line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from bench.data.images import image_folder
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.registry import resolve
from bench.encoders import BATCH_TOLERANCE, load_encoder
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "two", "##s", "photo", "of", "very", ".")
TEXTS = ["a cat", "two dogs", "a photo of [PAD] a cat", "very " * 20 + "cat"]
CONTEXT = 12


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def align(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ALIGN with random weights, saved as transformers saves it."""
    folder, words = tmp_path_factory.mktemp("align"), tmp_path_factory.mktemp("words")
    (words / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (words / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    text = {"vocab_size": len(WORDS), "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    image = {
        "image_size": 32,
        "width_coefficient": 0.25,
        "depth_coefficient": 0.3,
        "hidden_dim": 64,
        "batch_norm_eps": 0.002,
    }
    blocks = {"in_channels": [32, 16, 24], "out_channels": [16, 24, 40], "kernel_sizes": [3, 3, 5]}
    repeats = {"strides": [1, 2, 2], "num_block_repeats": [1, 1, 1], "expand_ratios": [1, 2, 2]}
    config = transformers.AlignConfig(
        text_config=text | {"intermediate_size": 32, "max_position_embeddings": CONTEXT, "initializer_range": 0.3},
        vision_config=image | blocks | repeats,
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AlignModel(config).eval()
        # Without the statistics of some images the signal dies in the first blocks, and all features are alike.
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.train().momentum = 1.0
        with torch.no_grad():
            model.vision_model(torch.rand(8, 3, 32, 32) * 2 - 1)
        model.eval()
    model.save_pretrained(folder)
    transformers.AlignProcessor(
        transformers.EfficientNetImageProcessor(
            size={"height": 36, "width": 40}, crop_size={"height": 32, "width": 32}, do_center_crop=True
        ),
        transformers.AutoTokenizer.from_pretrained(words),
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def by_hand(transformers: Any, align: Path) -> Any:
    return transformers.AlignModel.from_pretrained(align).eval(), transformers.AlignProcessor.from_pretrained(align)


def test_features_equal_transformers_by_hand(align: Path, by_hand: Any, pictures: list[Image.Image]) -> None:
    model, processor = by_hand
    images = [*pictures, pictures[0].convert("L"), pictures[1].convert("RGBA")]
    inputs = processor(
        text=TEXTS, images=[image.convert("RGB") for image in images], padding="max_length", truncation=True,
        max_length=CONTEXT, return_tensors="pt",
    )  # fmt: skip
    with torch.no_grad():
        expected = model(**inputs)
    encoder = load_encoder(f"align:{align}")
    x = encoder.encode_images(images, batch=4, workers=2)
    torch.testing.assert_close(x, expected.image_embeds, atol=1e-5, rtol=0)
    encoded = encoder.encode_texts(TEXTS, batch=3)
    torch.testing.assert_close(encoded.x, expected.text_embeds, atol=1e-5, rtol=0)
    assert encoded.truncated.tolist() == [False, False, False, True]
    assert torch.pdist(x[: len(pictures)]).min() > 1e-3
    assert torch.pdist(encoded.x).min() > 1e-3


def test_before_the_projection(align: Path, by_hand: Any, pictures: list[Image.Image]) -> None:
    model, processor = by_hand
    encoder = load_encoder(f"align:{align}", projected=False)
    inputs = processor.tokenizer(TEXTS[:2], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.text_model(**inputs).last_hidden_state[:, 0], dim=-1)
    torch.testing.assert_close(encoder.encode_texts(TEXTS[:2]).x, expected, atol=1e-5, rtol=0)
    after = load_encoder(f"align:{align}")
    assert torch.equal(encoder.encode_images(pictures), after.encode_images(pictures))
    assert encoder.space != after.space
    assert (len(encoder.notes), len(after.notes)) == (1, 0)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_batch_size_does_not_matter(align: Path, pictures: list[Image.Image], batch: int) -> None:
    encoder = load_encoder(f"align:{align}")
    images = encoder.encode_images(pictures, batch=batch) - encoder.encode_images(pictures, batch=13)
    texts = encoder.encode_texts(TEXTS, batch=batch).x - encoder.encode_texts(TEXTS, batch=4).x
    assert max(images.abs().max(), texts.abs().max()) <= BATCH_TOLERANCE


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.01), ("bf16", 0.08)])
def test_lower_precision(align: Path, pictures: list[Image.Image], precision: Any, tolerance: float) -> None:
    full, low = load_encoder(f"align:{align}"), load_encoder(f"align:{align}", precision=precision)
    for x, y in (
        (full.encode_images(pictures), low.encode_images(pictures)),
        (full.encode_texts(TEXTS).x, low.encode_texts(TEXTS).x),
    ):
        assert y.dtype == low.dtype
        assert 0 < (x - y.float()).abs().max() < tolerance
    assert full.space != low.space
    # Statistics of a batch normalisation can be beyond fp16, so they never pass through it.
    exact, cast = full.model.state_dict(), low.model.state_dict()
    kept = {name for name in exact if exact[name].is_floating_point() and torch.equal(exact[name], cast[name])}
    assert {name for name in exact if "running_" in name or "LayerNorm" in name} <= kept
    assert not any(name.endswith(("embeddings.weight", "projection.weight", "conv.weight")) for name in kept)


def test_loading_leaves_the_process_as_it_was(
    transformers: Any, align: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = transformers.utils.logging
    before = torch.get_rng_state(), log.get_verbosity(), log.is_progress_bar_enabled()
    load_encoder(f"align:{align}")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (log.get_verbosity(), log.is_progress_bar_enabled())
    assert capfd.readouterr() == ("", "")


def test_everything_that_shapes_a_feature_changes_its_space(align: Path, tmp_path: Path) -> None:
    base = load_encoder(f"align:{align}").space
    assert base["software"].keys() > {"torch", "transformers", "tokenizers"}
    shutil.copytree(align, tmp_path / "moved")
    assert load_encoder(f"align:{tmp_path}/moved").space == base

    def change(name: str, file: str, old: str, new: str) -> None:
        shutil.copytree(align, tmp_path / name)
        content = (tmp_path / name / file).read_text()
        assert old in content
        (tmp_path / name / file).write_text(content.replace(old, new))

    processor = next(p.name for p in align.glob("*processor_config.json"))
    change("words", "tokenizer.json", '"dog": 7', '"cow": 7')
    change("eps", "config.json", '"batch_norm_eps": 0.002', '"batch_norm_eps": 0.02')
    change("size", processor, '"width": 40', '"width": 44')
    shutil.copytree(align, tmp_path / "weights")
    state = load_file(align / "model.safetensors")
    state["text_projection.bias"] += 0.1
    save_file(state, tmp_path / "weights/model.safetensors", metadata={"format": "pt"})
    spaces = [base, *(load_encoder(f"align:{tmp_path}/{name}").space for name in ("words", "eps", "size", "weights"))]
    assert all(a != b for n, a in enumerate(spaces) for b in spaces[:n])


def test_a_pack_from_align(align: Path, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "x", {f"{c}/{n}.png": 10 * n + len(c) for c in ("cat", "two_dogs") for n in range(3)})
    options = EncodeOptions(encoder=f"align:{align}", name="x", hold_out=0.4, templates="photo")
    encode_pack(image_folder(root), tmp_path / "pack", options, cache=None)
    dataset = resolve(tmp_path / "pack")
    texts = load_encoder(f"align:{align}").encode_texts(["a photo of a cat.", "a photo of a two dogs."])
    torch.testing.assert_close(dataset.prompts.x, texts.x, atol=1e-5, rtol=0)


class Poison:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_what_cannot_be_loaded_says_so_in_one_line(align: Path, tmp_path: Path) -> None:
    def spoil(name: str, file: str, content: bytes | None = None) -> None:
        shutil.copytree(align, tmp_path / name)
        (tmp_path / name / file).unlink()
        if content is not None:
            (tmp_path / name / file).write_bytes(content)

    spoil("pickle", "model.safetensors")
    torch.save({"text_projection.weight": Poison(tmp_path / "touched")}, tmp_path / "pickle/pytorch_model.bin")
    spoil("cut", "model.safetensors", (align / "model.safetensors").read_bytes()[:-100])
    spoil("clip", "config.json", b'{"model_type": "clip"}')
    spoil("damaged", "config.json", b'{"model_type"')
    shutil.copytree(align, tmp_path / "words")
    for path in [*(tmp_path / "words").glob("tokenizer.json"), *(tmp_path / "words").glob("vocab.txt")]:
        path.unlink()
    spoil("pixels", next(path.name for path in align.glob("*processor_config.json")))
    state = load_file(align / "model.safetensors")
    for name, changed in (
        ("less", {k: v for k, v in state.items() if k != "text_projection.weight"}),
        ("other", state | {"text_projection.weight": torch.zeros(16, 20)}),
    ):
        spoil(name, "model.safetensors")
        save_file(changed, tmp_path / name / "model.safetensors", metadata={"format": "pt"})
    cases = {
        "pickle": "safetensors",
        "cut": "cannot be read",
        "clip": "kind 'clip', not ALIGN",
        "damaged": "cannot be read",
        "words": "(?i)tokenizer",
        "pixels": "cannot be read",
        "less": "1 tensors are missing or of another shape, e.g. text_projection.weight",
        "other": "1 tensors are missing or of another shape, e.g. text_projection.weight",
        "nowhere": "is no folder",
    }
    for name, message in cases.items():
        with pytest.raises(BenchError, match=message) as caught:
            load_encoder(f"align:{tmp_path}/{name}")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched").exists()
    with pytest.raises(BenchError, match="leave quick_gelu out"):
        load_encoder(f"align:{align}", quick_gelu=True)


def test_weights_without_a_pooler_are_enough(align: Path, tmp_path: Path, pictures: list[Image.Image]) -> None:
    shutil.copytree(align, tmp_path / "x")
    state = {k: v for k, v in load_file(align / "model.safetensors").items() if ".pooler." not in k}
    save_file(state, tmp_path / "x/model.safetensors", metadata={"format": "pt"})
    assert load_encoder(f"align:{tmp_path}/x").space == load_encoder(f"align:{align}").space


def test_a_model_of_the_hub_without_a_network(transformers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchError, match="without a network give align:FOLDER") as caught:
        load_encoder("align:nobody-at-all/align-base")
    assert "\n" not in str(caught.value)


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BenchError, match=r"pip install 'retrieval-bench\[align\]'"):
        load_encoder(f"align:{tmp_path}")
