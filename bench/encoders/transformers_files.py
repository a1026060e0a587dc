"""What models of transformers share: loading without noise, its gaps, tokenizers and processors."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bench.encoders.hub import one_try
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import digest


def transformers(extra: str) -> Any:
    """Return the package; without it :class:`BenchError` names the extra that brings it."""
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise BenchError(
            f"encoders of transformers need that package; `pip install 'retrieval-bench[{extra}]'`"
        ) from None


def is_folder(place: str, scheme: str, example: str) -> bool:
    """Return whether a place is a folder here; raise if it cannot be a model's name at the hub either."""
    local = Path(place).is_dir()
    if not local and not re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", place):
        raise BenchError(f"{place!r} is no folder; write {scheme}:FOLDER, or {scheme}:{example} for the hub's")
    return local


def same_vocabulary(place: str, tokenizer: Any, known_to_model: int, *, smaller: bool = False) -> None:
    """Raise if a tokenizer is another model's: it knows other word pieces, or (``smaller``) more than the model."""
    known = len(tokenizer)
    if known > known_to_model or (known < known_to_model and not smaller):
        raise BenchError(
            f"the tokenizer of {place} knows {known} word pieces and its model {known_to_model}; "
            "put the tokenizer.json or vocab.txt of that model beside the weights"
        )


@contextmanager
def reading(place: str, local: bool, what: str, scheme: str) -> Iterator[None]:
    """Turn what transformers raises, of many kinds, into one line; a hub that does not answer is asked once."""
    try:
        if local:
            yield
        else:
            with one_try():
                yield
    except Exception as error:
        if local:
            advice = "the folder needs config.json, model.safetensors, tokenizer and image processor files that fit"
        else:
            advice = f"without a network give {scheme}:FOLDER, a folder that save_pretrained wrote"
        raise BenchError(f"{what} cannot be read from {place} ({one_line(error)}); {advice}") from None


@contextmanager
def quietly(library: Any) -> Iterator[None]:
    """Keep transformers' bars and reports out of the output; what they tell is checked by the caller."""
    log = library.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def unfit_weights(place: str, found: Mapping[str, Any], *, allowed: Sequence[str] = ()) -> None:
    """Raise for weights that transformers filled up with random numbers, but for those that are not used."""
    unfit = [*found["missing_keys"], *(entry[0] for entry in found["mismatched_keys"])]
    unfit = sorted(name for name in unfit if name not in allowed)
    if unfit:
        raise BenchError(
            f"the weights of {place} do not fit its config.json: {len(unfit)} tensors are missing or of another shape, "
            f"e.g. {unfit[0]}; take both from one model"
        )


def vocabulary(tokenizer: Any) -> str:
    """Return a content hash of a tokenizer: weights do not say which piece a number stands for."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return digest(backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items()))


def settings(config: Any) -> dict[str, Any]:
    """Return a configuration without what does not shape features: versions, paths, and the type it was saved in."""
    left_out = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
    try:
        text = config.to_json_string(use_diff=False)
    except TypeError:  # an image processor's takes no argument
        text = config.to_json_string()
    content: dict[str, Any] = json.loads(text)
    return {name: value for name, value in content.items() if name not in left_out}


def image_transform(processor: Any, place: str) -> Callable[[Image.Image], Tensor]:
    """Return a processor as one image to one tensor [3, h, w].

    Raises
    ------
    BenchError
        If it makes anything else of an image, such as patches whose number varies.
    """

    def transform(image: Image.Image) -> Tensor:
        pixels: Tensor = processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return pixels

    made = processor(images=Image.new("RGB", (40, 30)), return_tensors="pt")
    if set(made) - {"pixel_mask"} != {"pixel_values"} or made["pixel_values"].ndim != 4:
        raise BenchError(
            f"{place} takes {', '.join(made)} of an image instead of one picture of a fixed size; choose a model of "
            "fixed resolution"
        )
    return transform


@dataclass(frozen=True, eq=False)
class Pieces:
    """A processor as texts to word pieces, int64 [n, 1, context], and their mask if it makes one, [n, 2, context]."""

    processor: Any
    context_length: int

    def __call__(self, texts: list[str]) -> Tensor:
        """Return the pieces of each text, the end cut off where it is too long."""
        encoded = self.processor(
            text=texts, padding="max_length", truncation=True, max_length=self.context_length, return_tensors="pt"
        )
        return torch.stack([encoded[key] for key in ("input_ids", "attention_mask") if key in encoded], dim=1)

    def count(self, text: str) -> int:
        """Return the number of pieces, marks included, before any is cut off."""
        return len(self.processor.tokenizer(text, truncation=False, verbose=False)["input_ids"])


def licence_of(folder: Path) -> str:
    """Return the licence that a model's README names in its head; ``unknown`` without one."""
    try:
        head = (folder / "README.md").read_text(encoding="utf-8", errors="replace")[:10_000]
    except OSError:
        return "unknown"
    found = re.match(r"---\n.*?^license:[ \t]*([^\n]+)\n.*?^---", head, re.DOTALL | re.MULTILINE)
    return found[1].strip().strip("'\"")[:80] if found else "unknown"
