"""Models of timm equal timm by hand, with its own preprocessing, and refuse other weights in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from bench.encoders import BATCH_TOLERANCE, load_encoder
from bench.encoders import timm_models as module
from bench.utils.errors import BenchError

NAMES = ("resnet10t", "vit_tiny_patch16_224", "test_vit3.r160_in1k")
"""A convolutional network, a vision transformer, and a tiny one whose preprocessing is its own."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, made = tmp_path_factory.mktemp("timm"), {}
    for name in NAMES:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = timm.create_model(name, num_classes=7).state_dict()
        made[name] = folder / f"{name}.safetensors"
        save_file({k: v.contiguous() for k, v in state.items()}, made[name])
    return made


@pytest.mark.parametrize("name", NAMES)
def test_features_equal_timm_by_hand(weights: dict[str, Path], pictures: list[Image.Image], name: str) -> None:
    model = timm.create_model(name, num_classes=7, checkpoint_path=str(weights[name])).eval()
    config = timm.data.resolve_data_config({}, model=model)
    transform = timm.data.create_transform(**config, is_training=False)
    some = [*pictures[:3], pictures[3].convert("L"), pictures[4].convert("RGBA")]
    with torch.no_grad():
        x = torch.stack([transform(image.convert("RGB")) for image in some])
        expected = model.forward_head(model.forward_features(x), pre_logits=True)
    encoder = load_encoder(f"timm:{name}:{weights[name]}")
    found = encoder.encode_images(some, batch=3, workers=1)
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=-1), atol=1e-5, rtol=0)
    said = encoder.space["preprocessing"]
    assert said["mean"] == list(config["mean"])
    assert said["input_size"] == list(config["input_size"])
    assert (encoder.dimension, encoder.has_texts) == (expected.shape[1], False)
    one = encoder.encode_images(some, batch=1)
    assert (one - found).abs().max() <= BATCH_TOLERANCE


def test_flops_are_those_of_the_formula(weights: dict[str, Path]) -> None:
    from bench.cost.encoder_flops import vision_transformer_flops

    counted = load_encoder(f"timm:vit_tiny_patch16_224:{weights['vit_tiny_patch16_224']}").flops
    by_formula = vision_transformer_flops(side=224, patch=16, width=192, layers=12, out=0)
    assert counted == pytest.approx(by_formula, rel=1e-3)


@pytest.mark.parametrize("wrapped", ["state_dict", "model_ema", None])
def test_a_checkpoint_of_a_trainer(
    weights: dict[str, Path], tmp_path: Path, pictures: list[Image.Image], wrapped: str | None
) -> None:
    name = "test_vit3.r160_in1k"
    expected = load_encoder(f"timm:{name}:{weights[name]}").encode_images(pictures[:2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state: Any = timm.create_model(name, num_classes=7).state_dict()
    state = {f"module.{key}": value for key, value in state.items()}
    other = {key: value + 1 for key, value in state.items()}
    torch.save({wrapped: state, "model": other, "epoch": 3} if wrapped else state, tmp_path / "checkpoint.pth")
    found = load_encoder(f"timm:{name}:{tmp_path}/checkpoint.pth").encode_images(pictures[:2])
    assert torch.equal(found, expected)


def test_published_weights_come_with_their_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False, **more: create(name, **more))
    monkeypatch.setattr(module, "one_try", lambda: torch.no_grad())
    encoder = load_encoder("timm:test_vit3.r160_in1k")
    assert encoder.licence == "apache-2.0"


class Poison:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_what_cannot_be_loaded_says_so_in_one_line(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    torch.save({"weight": Poison(tmp_path / "touched")}, tmp_path / "evil.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    vit, resnet = weights["vit_tiny_patch16_224"], weights["resnet10t"]
    cases = {
        "timm:resnet110t": "did you mean",
        "timm:": "timm has no model ''",
        "timm:resnet10t.nosuchtag": "cannot be had",
        "timm:resnet10t": "without a network give timm:NAME:FILE",
        f"timm:resnet10t:{vit}": "does not hold the weights of resnet10t",
        f"timm:vit_tiny_patch16_224:{resnet}": "does not hold the weights of vit_tiny_patch16_224",
        f"timm:resnet10t:{tmp_path}/evil.pth": "safetensors",
        f"timm:resnet10t:{tmp_path}/empty.pth": "holds no weights",
        f"timm:resnet10t:{tmp_path}/cut.safetensors": "cannot be read",
        f"timm:resnet10t:{tmp_path}/nowhere.pth": "is no file",
        f"timm:resnet10t:{resnet}:texts=synthesised": "no classifier of ImageNet's 1000 classes",
        "glyphs:texts=synthesised": "cannot be synthesised",
        "tiny-vit:nowhere:texts=synthesised": "cannot be synthesised",
    }
    for spec, message in cases.items():
        with pytest.raises(BenchError, match=message) as caught:
            load_encoder(spec)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched").exists()
