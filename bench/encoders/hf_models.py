"""Models of transformers: ``hf:ORG/MODEL`` from the Hugging Face hub, ``hf:FOLDER`` as ``save_pretrained`` writes it.

CLIP, SigLIP, SigLIP 2 of fixed size, MetaCLIP 2 and other models with both towers; DINOv2, DINOv3 and other image
models without texts. transformers is an optional package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from bench.device.precision import DTYPES, Precision
from bench.encoders.encoder import SOFTWARE, Encoder
from bench.encoders.lower_precision import lower_precision
from bench.encoders.pooled import Pooled
from bench.encoders.projection import Tower
from bench.encoders.registry import encoder
from bench.encoders.transformers_files import (
    Pieces,
    image_transform,
    is_folder,
    licence_of,
    quietly,
    reading,
    same_vocabulary,
    settings,
    transformers,
    unfit_weights,
    vocabulary,
)
from bench.utils.errors import BenchError

_UNPROJECTED = ("pooler", "head")


class TwoTowers(nn.Module):
    """The towers of a transformers model behind open_clip's ``encode_image`` and ``encode_text``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def before_projection(self, tower: Tower, x: Tensor) -> Tensor:
        """Return what a tower pools, [n, w]."""
        if tower == "image":
            return _pooled(self.model.vision_model(pixel_values=x))
        return _pooled(self.model.text_model(**_words(x)))

    def encode_image(self, x: Tensor, *, normalize: bool = False) -> Tensor:
        """Return image features, [n, d]."""
        features = _pooled(self.model.get_image_features(pixel_values=x))
        return nn.functional.normalize(features, dim=-1) if normalize else features

    def encode_text(self, x: Tensor, *, normalize: bool = False) -> Tensor:
        """Return text features, [n, d], of word pieces, [n, 1, context], or of them and their mask, [n, 2, context]."""
        features = _pooled(self.model.get_text_features(**_words(x)))
        return nn.functional.normalize(features, dim=-1) if normalize else features


class _Visual(nn.Module):
    """An image model of transformers as images to one vector each.

    It is what the model pools where its checkpoint holds that; otherwise the first token, or the mean over the places
    of a convolutional network.
    """

    def __init__(self, model: Any, pools: bool) -> None:
        super().__init__()
        self.model, self.pools = model, pools

    def forward(self, x: Tensor) -> Tensor:
        """Return features, [n, d]."""
        found = self.model(pixel_values=x)
        pooled = getattr(found, "pooler_output", None)
        if self.pools and pooled is not None:
            return torch.flatten(pooled, 1)
        states: Tensor = found.last_hidden_state
        return states.flatten(2).mean(2) if states.ndim == 4 else states[:, 0]


def _pooled(found: Any) -> Tensor:
    features: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return features


def _words(x: Tensor) -> dict[str, Tensor]:
    parts = x.unbind(1)
    return dict(zip(("input_ids", "attention_mask"), parts, strict=False))


@encoder("hf:", description="CLIP, SigLIP, DINOv2 and others through transformers: hf:ORG/MODEL or hf:FOLDER")
def load_hf(
    place: str, /, *, precision: Precision = "fp32", device: str | torch.device = "cpu", projected: bool = True
) -> Encoder:
    """Return a model of transformers from a folder, or from the Hugging Face hub.

    Weights are read from safetensors alone, in float32; no code that comes with a model is run.

    Raises
    ------
    BenchError
        Without transformers; for a folder or model that is not there, lacks a file, or whose weights do not fit its
        configuration; for one that takes more than one tensor an image, or gives other features each time.
    """
    library = transformers("hf")
    local = is_folder(place, "hf", "ORG/MODEL")
    with reading(place, local, "the model", "hf"), quietly(library), torch.random.fork_rng(devices=[]):
        common: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
        images = library.AutoImageProcessor.from_pretrained(place, **common)
        model, found = library.AutoModel.from_pretrained(
            place, use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True, **common
        )
        both = hasattr(model, "get_image_features") and hasattr(model, "get_text_features")
        processor = library.AutoProcessor.from_pretrained(place, **common) if both else None
    model = model.float().eval()
    pooler = [name for name in found["missing_keys"] if not both and name.startswith(_UNPROJECTED)]
    unfit_weights(place, found, allowed=pooler)
    towers: nn.Module = TwoTowers(model) if both else Pooled(_Visual(model, pools=not pooler))
    if precision != "fp32":
        lower_precision(towers, DTYPES[precision])
    transform = image_transform(images, place)
    config = model.config
    common_to_both: dict[str, Any] = {
        "name": f"hf:{place}",
        "model": towers.to(device).eval().requires_grad_(False),
        "transform": transform,
        "precision": precision,
        "device": torch.device(device),
        "projected": projected,
        "software": (*SOFTWARE, "tokenizers", "transformers"),
        "licence": licence_of(Path(place)) if local else "unknown",
    }
    about_images = _about_images(images)
    made = (
        Encoder(
            **common_to_both,
            **_texts(processor, config, place),
            preprocessing=about_images | {"vocabulary": vocabulary(processor.tokenizer), "model": settings(config)},
        )
        if processor is not None
        else Encoder(
            **common_to_both,
            texts="none",
            preprocessing=about_images | {"model": settings(config), "pools": not pooler},
            notes=() if projected else (f"hf:{place} projects nothing: its features are the same before and after",),
        )
    )
    _require_repeatable(made, transform)
    return made


def _about_images(processor: Any) -> dict[str, Any]:
    return {"image": settings(processor), "image_class": type(processor).__name__}


def _texts(processor: Any, config: Any, place: str) -> Mapping[str, Any]:
    """Return what an encoder needs to know of the texts of a model with both towers."""
    text = getattr(config, "text_config", config)
    tokenizer = processor.tokenizer
    longest = min(int(getattr(text, "max_position_embeddings", 512)), int(tokenizer.model_max_length))
    pieces = Pieces(processor, longest)
    size = int(getattr(text, "vocab_size", 0))
    if size:
        same_vocabulary(place, tokenizer, size, smaller=True)
    return {
        "tokenizer": pieces,
        "token_count": pieces.count,
        "context_length": longest,
    }


def _require_repeatable(made: Encoder, transform: Callable[[Image.Image], Tensor]) -> None:
    """Raise if a model draws at random when it encodes, as masked autoencoders do."""
    picture = Image.linear_gradient("L").convert("RGB")
    first, second = (made.encode_pixels([transform(picture)]) for _ in range(2))
    if not torch.equal(first, second):
        raise BenchError(f"{made.name} gives other features each time it sees an image; choose another model")
    if first.ndim != 2 or not torch.isfinite(first).all():
        raise BenchError(f"{made.name} gives no finite vector for an image; choose another model or precision")
