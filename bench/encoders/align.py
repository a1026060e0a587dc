"""ALIGN through transformers: an EfficientNet for images and a BERT for texts.

Jia et al., Scaling Up Visual and Vision-Language Representation Learning With Noisy Text Supervision, ICML 2021,
arXiv:2102.05918. transformers is an optional package and is imported here alone.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from bench.device.precision import DTYPES, Precision
from bench.encoders.encoder import SOFTWARE, Encoder
from bench.encoders.projection import Tower
from bench.encoders.registry import encoder
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import digest

CONTEXT_LENGTH = 64
"""Word pieces of a text, marks included: the longest that ALIGN was trained with (section 5.1)."""

_NORMALISATIONS = (nn.LayerNorm, nn.BatchNorm2d)


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
    transformers = _transformers()
    local = Path(place).is_dir()
    if not local and not re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", place):
        raise BenchError(f"{place!r} is no folder; write align:FOLDER, or align:kakaobrain/align-base for the hub's")
    _check_kind(transformers, place, local)
    with _reading(place, local), _quietly(transformers), torch.random.fork_rng(devices=[]):
        processor = transformers.AlignProcessor.from_pretrained(place, local_files_only=local, trust_remote_code=False)
        model, found = transformers.AlignModel.from_pretrained(
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
        _lower(towers, DTYPES[precision])
    pieces = WordPieces(tokenizer, context)
    notes = ("ALIGN does not project images: their features are the same before and after",) if not projected else ()
    return Encoder(
        name=f"align:{place}",
        model=towers.to(device).eval().requires_grad_(False),
        transform=_transform(processor.image_processor),
        tokenizer=pieces,
        token_count=pieces.count,
        context_length=context,
        preprocessing={
            "image": json.loads(processor.image_processor.to_json_string()),
            "image_class": type(processor.image_processor).__name__,
            # Weights say neither which piece a number stands for, nor the activation, nor a normalisation's epsilon.
            "vocabulary": _vocabulary(tokenizer),
            "text_model": _settings(config.text_config),
            "image_model": _settings(config.vision_config),
        },
        precision=precision,
        device=torch.device(device),
        projected=projected,
        notes=notes,
        software=(*SOFTWARE, "tokenizers", "transformers"),
    )


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise BenchError("ALIGN needs transformers; `pip install 'retrieval-bench[align]'`") from None


def _check_kind(transformers: Any, place: str, local: bool) -> None:
    with _reading(place, local), _quietly(transformers):
        content, _ = transformers.PretrainedConfig.get_config_dict(place, local_files_only=local)
    kind = content.get("model_type", "unknown")
    if kind != "align":
        raise BenchError(f"{place} is a model of kind {kind!r}, not ALIGN; give a folder or model of ALIGN")


def _check_complete(place: str, found: Mapping[str, Any], tokenizer: Any, vocabulary: int) -> None:
    """Raise for what transformers fills up by itself: random weights, and a tokenizer that knows no word."""
    unfit = [*found["missing_keys"], *(entry[0] for entry in found["mismatched_keys"])]
    unfit = sorted(name for name in unfit if not name.startswith("text_model.pooler."))
    if unfit:
        raise BenchError(
            f"the weights of {place} do not fit its config.json: {len(unfit)} tensors are missing or of another shape, "
            f"e.g. {unfit[0]}; take both from one model"
        )
    if len(tokenizer) != vocabulary:
        raise BenchError(
            f"the tokenizer of {place} knows {len(tokenizer)} word pieces and its model {vocabulary}; "
            "put the tokenizer.json or vocab.txt of that model beside the weights"
        )


@contextmanager
def _reading(place: str, local: bool) -> Iterator[None]:
    """Turn what transformers raises, of many kinds, into one line."""
    try:
        yield
    except Exception as error:
        if local:
            advice = "the folder needs config.json, model.safetensors, tokenizer and image processor files that fit"
        else:
            advice = "without a network give align:FOLDER, a folder that save_pretrained wrote"
        raise BenchError(f"ALIGN cannot be read from {place} ({one_line(error)}); {advice}") from None


@contextmanager
def _quietly(transformers: Any) -> Iterator[None]:
    """Keep transformers' bars and reports out of the output; what they tell is checked by the caller."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _transform(processor: Any) -> Callable[[Image.Image], Tensor]:
    def transform(image: Image.Image) -> Tensor:
        pixels: Tensor = processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return pixels

    return transform


def _vocabulary(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return digest(backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items()))


def _settings(config: Any) -> dict[str, Any]:
    """Return a configuration without what does not shape features: versions, paths, and the type it was saved in."""
    left_out = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
    content: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in content.items() if name not in left_out}


def _lower(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast all weights but those of the normalisations, which compute in float32 and hand on ``dtype``."""
    for part in module.modules():
        if isinstance(part, _NORMALISATIONS):
            part.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
            part.register_forward_hook(lambda _, inputs, output: output.to(dtype))
        else:
            for weight in part.parameters(recurse=False):
                weight.data = weight.data.to(dtype)
