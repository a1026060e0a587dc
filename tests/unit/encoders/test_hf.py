"""Models of transformers equal transformers by hand, and what cannot be used is refused in one line."""

from __future__ import annotations

import json
import shutil
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

TEXTS = ["a cat", "two dogs", "a photo of a cat"]
WORDS = ("a", "cat", "dog", "two", "dogs", "photo", "of", "very")
SMALL = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
PICTURE = {"image_size": 32, "patch_size": 8}


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


def _tokenizer(transformers: Any, kind: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ("<pad>", "<unk>", "<s>", "</s>")
    words = {word: number for number, word in enumerate((*special, *WORDS))}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind == "clip":
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        model_max_length=10, model_input_names=["input_ids"] + (["attention_mask"] if kind == "clip" else []),
    )  # fmt: skip


def _saved(transformers: Any, kind: str, folder: Path) -> Path:
    """A tiny model with random weights, saved as transformers saves it."""
    size = {"height": 32, "width": 32}
    text = SMALL | {"vocab_size": 12, "max_position_embeddings": 10, "bos_token_id": 2, "eos_token_id": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "clip":
            config = transformers.CLIPConfig(
                text_config=text, vision_config=SMALL | PICTURE | {"hidden_act": "gelu"}, projection_dim=16
            )
            model = transformers.CLIPModel(config)
            images = transformers.CLIPImageProcessor(size={"shortest_edge": 36}, crop_size=size)
        elif kind == "siglip":
            config = transformers.SiglipConfig(
                text_config=text | {"projection_size": 24}, vision_config=SMALL | PICTURE
            )
            model = transformers.SiglipModel(config)
            images = transformers.SiglipImageProcessor(size=size)
        elif kind == "dinov2":
            shape = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
            model = transformers.Dinov2Model(transformers.Dinov2Config(**shape, **PICTURE))
            images = transformers.BitImageProcessor(size={"shortest_edge": 36}, crop_size=size)
        elif kind == "resnet":
            model = transformers.ResNetModel(
                transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
            )
            images = transformers.ConvNextImageProcessor(size={"shortest_edge": 32})
        else:
            model = transformers.ViTMAEModel(
                transformers.ViTMAEConfig(**SMALL, **PICTURE, decoder_hidden_size=16, decoder_num_attention_heads=2)
            )
            images = transformers.ViTImageProcessor(size=size)
    model.eval().save_pretrained(folder)
    if kind in ("clip", "siglip"):
        cls = transformers.CLIPProcessor if kind == "clip" else transformers.SiglipProcessor
        cls(images, _tokenizer(transformers, kind)).save_pretrained(folder)
    else:
        images.save_pretrained(folder)
    (folder / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\n# Model\n")
    return folder


@pytest.fixture(scope="module")
def models(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hf")
    return {kind: _saved(transformers, kind, root / kind) for kind in ("clip", "siglip", "dinov2", "resnet", "mae")}


def _tensor(found: Any) -> torch.Tensor:
    return found if isinstance(found, torch.Tensor) else found.pooler_output


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_both_towers_equal_transformers_by_hand(
    transformers: Any, models: dict[str, Path], pictures: list[Image.Image], kind: str
) -> None:
    model = transformers.AutoModel.from_pretrained(models[kind]).eval()
    processor = transformers.AutoProcessor.from_pretrained(models[kind])
    images = [*pictures, pictures[0].convert("L"), pictures[1].convert("RGBA")]
    rgb = [image.convert("RGB") for image in images]
    with torch.no_grad():
        pixels = processor(images=rgb, return_tensors="pt")["pixel_values"]
        x = _tensor(model.get_image_features(pixel_values=pixels))
        words = processor(text=TEXTS, padding="max_length", truncation=True, max_length=10, return_tensors="pt")
        t = _tensor(model.get_text_features(**words))
    encoder = load_encoder(f"hf:{models[kind]}")
    normal = torch.nn.functional.normalize
    torch.testing.assert_close(encoder.encode_images(images, batch=4), normal(x, dim=-1), atol=1e-5, rtol=0)
    encoded = encoder.encode_texts([*TEXTS, "very " * 12], batch=2)
    torch.testing.assert_close(encoded.x[:3], normal(t, dim=-1), atol=1e-5, rtol=0)
    assert encoded.truncated.tolist() == [False, False, False, True]
    assert torch.pdist(encoded.x[:3]).min() > 1e-3
    assert (encoder.texts, encoder.has_texts, encoder.licence) == ("joint", True, "apache-2.0")
    assert encoder.dimension == x.shape[1]
    assert encoder.flops > 0


@pytest.mark.parametrize("kind", ["dinov2", "resnet"])
def test_an_image_model_gives_what_it_pools_and_no_texts(
    transformers: Any, models: dict[str, Path], pictures: list[Image.Image], kind: str
) -> None:
    model = transformers.AutoModel.from_pretrained(models[kind]).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(models[kind])
    with torch.no_grad():
        expected = model(**processor(images=pictures, return_tensors="pt")).pooler_output.flatten(1)
    encoder = load_encoder(f"hf:{models[kind]}")
    found = encoder.encode_images(pictures)
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=-1), atol=1e-5, rtol=0)
    assert (encoder.has_texts, encoder.texts) == (False, "none")
    with pytest.raises(BenchError, match="has no text tower"):
        encoder.encode_texts(["a cat"])


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2", "resnet"])
def test_batch_size_does_not_matter(models: dict[str, Path], pictures: list[Image.Image], kind: str) -> None:
    encoder = load_encoder(f"hf:{models[kind]}")
    whole = encoder.encode_images(pictures, batch=13)
    for batch in (1, 5):
        assert (encoder.encode_images(pictures, batch=batch) - whole).abs().max() <= BATCH_TOLERANCE


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_lower_precision(models: dict[str, Path], pictures: list[Image.Image], kind: str) -> None:
    full, low = load_encoder(f"hf:{models[kind]}"), load_encoder(f"hf:{models[kind]}", precision="bf16")
    x, y = full.encode_images(pictures), low.encode_images(pictures).float()
    assert (x * torch.nn.functional.normalize(y, dim=-1)).sum(1).min() > 0.99
    assert not torch.equal(x, y)
    assert full.space != low.space


def test_a_pack_of_an_image_model_holds_no_class_texts(models: dict[str, Path], tmp_path: Path) -> None:
    root = lay_out(tmp_path / "x", {f"{c}/{n}.png": 10 * n + len(c) for c in ("cat", "two_dogs") for n in range(3)})
    options = EncodeOptions(encoder=f"hf:{models['dinov2']}", name="x", hold_out=0.4, templates="photo")
    made = encode_pack(image_folder(root), tmp_path / "pack", options, cache=None)
    dataset = resolve(tmp_path / "pack")
    assert (len(dataset.prompts), dataset.card.encoder_texts) == (0, "none")
    assert dataset.card.encoder_flops == made.manifest["encoder"]["flops"] > 0
    assert dataset.card.encoder_licence == "apache-2.0"
    assert any("has no text tower; the pack holds no class texts" in said for said in made.warnings)
    encode_pack(
        image_folder(root), tmp_path / "both", EncodeOptions(encoder=f"hf:{models['clip']}", name="x", hold_out=0.4,
        templates="photo"), cache=None,
    )  # fmt: skip
    texts = load_encoder(f"hf:{models['clip']}").encode_texts(["a photo of a cat.", "a photo of a two dogs."])
    torch.testing.assert_close(resolve(tmp_path / "both").prompts.x, texts.x, atol=1e-5, rtol=0)


def test_what_cannot_be_used_is_one_line(models: dict[str, Path], tmp_path: Path) -> None:
    def spoil(name: str, kind: str, file: str, content: bytes | None = None) -> None:
        shutil.copytree(models[kind], tmp_path / name)
        (tmp_path / name / file).unlink()
        if content is not None:
            (tmp_path / name / file).write_bytes(content)

    spoil("bare", "clip", "model.safetensors")
    spoil("cut", "clip", "model.safetensors", (models["clip"] / "model.safetensors").read_bytes()[:-100])
    spoil("kind", "clip", "config.json", b'{"model_type": "nothing"}')
    spoil("blind", "dinov2", "preprocessor_config.json")
    state = load_file(models["clip"] / "model.safetensors")
    for name, changed in (
        ("less", {k: v for k, v in state.items() if k != "visual_projection.weight"}),
        ("other", state | {"visual_projection.weight": torch.zeros(16, 20)}),
    ):
        spoil(name, "clip", "model.safetensors")
        save_file(changed, tmp_path / name / "model.safetensors", metadata={"format": "pt"})
    cases = {
        f"{tmp_path}/bare": "cannot be read",
        f"{tmp_path}/cut": "cannot be read",
        f"{tmp_path}/kind": "cannot be read",
        f"{tmp_path}/blind": "cannot be read",
        f"{tmp_path}/less": "missing or of another shape, e.g. visual_projection.weight",
        f"{tmp_path}/other": "missing or of another shape, e.g. visual_projection.weight",
        f"{models['mae']}": "other features each time",
        "/nowhere/at/all": "is no folder",
    }
    for place, message in cases.items():
        with pytest.raises(BenchError, match=message) as caught:
            load_encoder(f"hf:{place}")
        assert "\n" not in str(caught.value)


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        import requests

        asked.append(arguments)
        raise requests.ConnectionError

    monkeypatch.setattr("bench.utils.web_session.BoundedSession.head", refuse)
    with pytest.raises(BenchError, match="without a network give hf:FOLDER") as caught:
        load_encoder("hf:nobody-at-all/nothing")
    assert "\n" not in str(caught.value)
    assert len(asked) == 1


def test_what_shapes_a_feature_changes_its_space(models: dict[str, Path], tmp_path: Path) -> None:
    base = load_encoder(f"hf:{models['dinov2']}").space
    shutil.copytree(models["dinov2"], tmp_path / "moved")
    assert load_encoder(f"hf:{tmp_path}/moved").space == base
    file = tmp_path / "moved" / "preprocessor_config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"image_mean": [0.1, 0.2, 0.3]}))
    assert load_encoder(f"hf:{tmp_path}/moved").space != base
