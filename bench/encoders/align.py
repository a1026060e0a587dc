"""ALIGN through transformers: an EfficientNet for images and a BERT for texts.

Jia et al., Scaling Up Visual and Vision-Language Representation Learning With Noisy Text Supervision, ICML 2021,
arXiv:2102.05918. transformers is an optional package and is imported here alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.device.precision import DTYPES, Precision
from bench.encoders.encoder import SOFTWARE, Encoder
from bench.encoders.lower_precision import lower_precision
from bench.encoders.projection import Tower
from bench.encoders.registry import encoder
from bench.encoders.transformers_files import (
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

CONTEXT_LENGTH = 64
"""Word pieces of a text, marks included: the longest that ALIGN was trained with (section 5.1)."""


class AlignTowers(nn.Module):
    """The towers of a transformers ``AlignModel`` behind open_clip's ``encode_image`` and ``encode_text``.

    The pooler of the text tower is dropped: no feature passes through it.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision, self.text, self.text_projection = model.vision_model, model.text_model, model.text_projection
        self.text.pooler = None

    def before_projection(self, tower: Tower, x: Tensor) -> Tensor:
        """Return what a tower pools: the mean over places of an image, the first word piece of a text, [n, w].

        Only texts are projected; the pooled image lies in the joint space as it is.
        """
        if tower == "image":
            pooled: Tensor = self.vision(pixel_values=x).pooler_output
            return pooled
        pieces, mask = x.unbind(1)
        first: Tensor = self.text(input_ids=pieces, attention_mask=mask).last_hidden_state[:, 0]
        return first

    def encode_image(self, x: Tensor, *, normalize: bool = False) -> Tensor:
        """Return image features, [n, d]."""
        features = self.before_projection("image", x)
        return nn.functional.normalize(features, dim=-1) if normalize else features

    def encode_text(self, x: Tensor, *, normalize: bool = False) -> Tensor:
        """Return text features, [n, d], of word pieces and their mask, [n, 2, context]."""
        features: Tensor = self.text_projection(self.before_projection("text", x))
        return nn.functional.normalize(features, dim=-1) if normalize else features


@dataclass(frozen=True, eq=False)
class WordPieces:
    """A transformers tokenizer as texts to word pieces and their mask, int64 [n, 2, context].

    The mask goes with the pieces, since the mark that fills a short text may also stand in one.
    """

    tokenizer: Any
    context_length: int

    def __call__(self, texts: list[str]) -> Tensor:
        """Return the pieces and the mask of each text, the end cut off where it is too long."""
        encoded = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.context_length, return_tensors="pt"
        )
        return torch.stack([encoded["input_ids"], encoded["attention_mask"]], dim=1)

    def count(self, text: str) -> int:
        """Return the number of pieces, marks included, before any is cut off."""
        return len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])


@encoder("align:", description="ALIGN through transformers: align:ORG/MODEL or align:FOLDER")
def load_align(
    place: str, /, *, precision: Precision = "fp32", device: str | torch.device = "cpu", projected: bool = True
) -> Encoder:
    """Return ALIGN from a folder as ``save_pretrained`` writes it, or from the Hugging Face hub.

    Weights are read from safetensors alone, in float32, and cast afterwards; as elsewhere, normalisation stays in
    float32. No code that comes with a model is run.

    Parameters
    ----------
    place : str
        A folder with ``config.json``, ``model.safetensors``, and the files of tokenizer and image processor; or
        ``ORGANISATION/MODEL`` of the hub, such as ``kakaobrain/align-base``.

    Raises
    ------
    BenchError
        Without transformers; for a folder or model that is not there, lacks a file, is not ALIGN, has no safetensors,
        or whose weights do not fit its configuration.
    """
    library = transformers("align")
    local = is_folder(place, "align", "kakaobrain/align-base")
    _check_kind(library, place, local)
    with reading(place, local, "ALIGN", "align"), quietly(library), torch.random.fork_rng(devices=[]):
        processor = library.AlignProcessor.from_pretrained(place, local_files_only=local, trust_remote_code=False)
        model, found = library.AlignModel.from_pretrained(
            place,
            local_files_only=local,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    config, tokenizer = model.config, processor.tokenizer
    _check_complete(place, found, tokenizer, config.text_config.vocab_size)
    context = min(CONTEXT_LENGTH, config.text_config.max_position_embeddings, tokenizer.model_max_length)
    towers = AlignTowers(model.float())
    if precision != "fp32":
        lower_precision(towers, DTYPES[precision])
    pieces = WordPieces(tokenizer, context)
    notes = ("ALIGN does not project images: their features are the same before and after",) if not projected else ()
    return Encoder(
        name=f"align:{place}",
        model=towers.to(device).eval().requires_grad_(False),
        transform=image_transform(processor.image_processor, place),
        tokenizer=pieces,
        token_count=pieces.count,
        context_length=context,
        preprocessing={
            "image": json.loads(processor.image_processor.to_json_string()),
            "image_class": type(processor.image_processor).__name__,
            # Weights say neither which piece a number stands for, nor the activation, nor a normalisation's epsilon.
            "vocabulary": vocabulary(tokenizer),
            "text_model": settings(config.text_config),
            "image_model": settings(config.vision_config),
        },
        precision=precision,
        device=torch.device(device),
        projected=projected,
        notes=notes,
        software=(*SOFTWARE, "tokenizers", "transformers"),
        licence=licence_of(Path(place)) if local else "unknown",
    )


def _check_kind(library: Any, place: str, local: bool) -> None:
    with reading(place, local, "ALIGN", "align"), quietly(library):
        content, _ = library.PretrainedConfig.get_config_dict(place, local_files_only=local)
    kind = content.get("model_type", "unknown")
    if kind != "align":
        raise BenchError(f"{place} is a model of kind {kind!r}, not ALIGN; give a folder or model of ALIGN")


def _check_complete(place: str, found: Mapping[str, Any], tokenizer: Any, pieces: int) -> None:
    """Raise for what transformers fills up by itself: random weights, and a tokenizer that knows no word."""
    missing = [name for name in found["missing_keys"] if name.startswith("text_model.pooler.")]
    unfit_weights(place, found, allowed=missing)
    same_vocabulary(place, tokenizer, pieces)
