"""A frozen encoder: two towers with their own preprocessing and tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from bench.cost.encoder_flops import encoder_flops
from bench.device.precision import DTYPES, Precision, full_float32
from bench.encoders.batching import WithinMemory, ahead, groups
from bench.encoders.projection import Tower, before_projection
from bench.utils.errors import BenchError
from bench.utils.hashing import digest

TextSpace = Literal["joint", "synthesised", "none"]
"""Whether an encoder's texts lie where its images do: trained so, made from a classifier's rows, or not at all."""

SOFTWARE = ("open_clip_torch", "pillow", "torch", "torchvision")
"""Packages whose version shapes the features of every encoder."""

RUNTIME_SUFFIX = ":runtime=onnx"
"""What stands behind an encoder's name whose images ONNX Runtime encodes, in records too."""

BATCH_TOLERANCE = 1e-5
"""Largest difference in a component of a unit-norm fp32 feature between two batch sizes. A matrix product adds in an
order that depends on the number of rows; nothing else in the encoders mixes images of a batch."""

_HELD = 16
"""Batches whose features stay on a GPU before they are copied from it."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Encoded texts.

    Attributes
    ----------
    x : Tensor [n, d]
        Unit norm, on the CPU.
    truncated : bool Tensor [n]
        Which texts were longer than the context and lost their end.
    """

    x: Tensor
    truncated: Tensor


class _Model:
    """The field of an encoder's model, which may be given as what loads it when it is first asked for."""

    def __get__(self, encoder: Encoder | None, owner: type) -> nn.Module:
        if encoder is None:
            raise AttributeError("a model has no default")
        held: nn.Module | Callable[[], nn.Module] = vars(encoder)["_model"]
        if not isinstance(held, nn.Module):
            held = vars(encoder)["_model"] = held()
        return held

    def __set__(self, encoder: Encoder, given: nn.Module | Callable[[], nn.Module]) -> None:
        vars(encoder)["_model"] = given


@dataclass(frozen=True)
class Known:
    """What the cache asks of a model, where it is known without the model.

    Attributes
    ----------
    weights : str
        What :attr:`Encoder.weights_digest` would be.
    activations : tuple of str
        The classes of its activations of the GELU family, sorted.
    """

    weights: str
    activations: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Encoder:
    """A frozen model with all that shapes its features.

    Attributes
    ----------
    name : str
        As it was asked for: ``NAME:PRETRAINED``.
    model : Module
        With open_clip's ``encode_image`` and ``encode_text``, in evaluation mode. One with ``before_projection``
        says itself what lies before its projection. May be given as a function that loads it: it is called once, when
        the model is first asked for, which with ``known`` is when something is encoded that the cache does not hold.
    transform : callable
        Image to the float32 Tensor [3, h, w] that the model was trained on.
    tokenizer : callable or None
        Texts to the int64 Tensor [n, context_length] of tokens, or whatever the model's ``encode_text`` takes. None
        for a model without a text tower.
    token_count : callable
        The number of tokens of a text before any is cut off, marks included.
    preprocessing : mapping
        What ``transform`` does, as plain values, for the cache key.
    projected : bool
        Whether features are taken after the projection into the joint space, or before it.
    notes : tuple of str
        What the user should know, such as an activation that was put right.
    software : tuple of str
        Packages whose versions are part of the cache key.
    texts : {"joint", "synthesised", "none"}
        Whether texts lie in the space of its images; where they do not, there are no class texts.
    templates : str
        The prompts that class names are put into where nobody asks for others, a name of
        :func:`bench.encoders.read_templates`.
    licence : str
        Of the weights.
    images : callable, optional
        What encodes images in place of the model's tower: pixels [n, 3, h, w] to unit-norm features [n, d]; another
        runtime with the same weights. The name then ends with :data:`RUNTIME_SUFFIX`.
    known : Known, optional
        Its weights and activations, where they are known without loading it.
    within_memory : mapping
        For each tower, how many rows fit into the device's memory at a time, as far as was found out.
    """

    name: str
    model: _Model = _Model()
    transform: Callable[[Image.Image], Tensor]
    preprocessing: Mapping[str, Any]
    tokenizer: Callable[[list[str]], Tensor] | None = None
    token_count: Callable[[str], int] = len
    context_length: int = 0
    precision: Precision = "fp32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    projected: bool = True
    notes: tuple[str, ...] = ()
    software: tuple[str, ...] = SOFTWARE
    texts: TextSpace = "joint"
    templates: str = "imagenet-80"
    licence: str = "unknown"
    images: Callable[[Tensor], Tensor] | None = None
    known: Known | None = None
    within_memory: Mapping[Tower, WithinMemory] = field(
        default_factory=lambda: {"image": WithinMemory("images"), "text": WithinMemory("texts")}, repr=False
    )

    @cached_property
    def weights_digest(self) -> str:
        """Content hash of all parameters and buffers."""
        return digest_of_weights(self.model.state_dict()) if self.known is None else self.known.weights

    @property
    def dtype(self) -> torch.dtype:
        """The type of its features."""
        return DTYPES[self.precision]

    @property
    def has_texts(self) -> bool:
        """Whether texts can be encoded into the space of its images."""
        return self.projected and self.tokenizer is not None and self.texts != "none"

    @property
    def without_texts(self) -> str:
        """Why there are no texts in the space of its images; empty if there are."""
        if self.has_texts:
            return ""
        if self.tokenizer is None or self.texts == "none":
            return f"encoder {self.name} has no text tower"
        return "features before the projection have no text in their space"

    @cached_property
    def _one(self) -> tuple[int, int]:
        """The number of dimensions of a feature, and the FLOPs of one image as torch counts its products."""
        pixels = self.transform(Image.new("RGB", (64, 64)))[None]
        fast = torch.backends.mha.get_fastpath_enabled()
        # The fused layers of transformers are not counted.
        torch.backends.mha.set_fastpath_enabled(False)
        # It imports triton, which takes longer than to load most encoders of features that are cached.
        from torch.utils.flop_counter import FlopCounterMode

        try:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                feature = self._forward("image", self._moved("image", pixels))
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
        return int(feature.shape[1]), int(counter.get_total_flops())

    @property
    def dimension(self) -> int:
        """The number of dimensions d of its features."""
        return self._one[0]

    @property
    def flops(self) -> int:
        """FLOPs of the image tower on one image: by formula where one is known, else as torch counts its products."""
        known = encoder_flops(self.name.removesuffix(RUNTIME_SUFFIX))
        return known if known is not None else self._one[1]

    @cached_property
    def space(self) -> dict[str, Any]:
        """All that shapes a feature besides the image or text itself, as plain values.

        The device is left out: features encoded on a GPU serve on a CPU. Their difference is that of two orders of
        summation, as between two batch sizes, since :func:`~bench.device.precision.full_float32` keeps off the
        TensorFloat-32 that torch allows convolutions by default.
        """
        described = {
            "weights": self.weights_digest,
            "activation": _activations(self.model) if self.known is None else list(self.known.activations),
            "precision": self.precision,
            "projected": self.projected,
            "context_length": self.context_length,
            "tokenizer": type(self.tokenizer).__name__,
            "preprocessing": dict(self.preprocessing),
            "software": {name: version(name) for name in self.software},
        }
        # Features of torch are known without the word, and stay known.
        return described if self.images is None else {**described, "runtime": "onnx"}

    def encode_images(
        self, images: Iterable[Image.Image], *, batch: int = 64, workers: int = 0, advance: Advance | None = None
    ) -> Tensor:
        """Return unit-norm features, [n, d], on the CPU in ``dtype``.

        Parameters
        ----------
        images : iterable of Image
            Decoded images of any size and mode.
        batch : int
            Images a forward pass; halved by itself where they do not fit into the device's memory. Features of two
            batch sizes differ by at most :data:`BATCH_TOLERANCE` in fp32.
        workers : int
            Threads that resize images while the model computes; 0 for none.
        advance : callable, optional
            Called with the number of images done after each batch.
        """
        return self.encode_pixels(
            ahead(self.transform, images, workers=workers, depth=2 * batch), batch=batch, advance=advance
        )

    def encode_pixels(self, pixels: Iterable[Tensor], *, batch: int = 64, advance: Advance | None = None) -> Tensor:
        """Return unit-norm features, [n, d], of results of ``transform``; see :meth:`encode_images`."""
        return self._run("image", (torch.stack(group) for group in groups(pixels, batch)), advance)

    def encode_texts(self, texts: Sequence[str], *, batch: int = 256, advance: Advance | None = None) -> Texts:
        """Return unit-norm features of texts, and which of them were longer than the context.

        Raises
        ------
        BenchError
            If the encoder has no text tower.
        """
        if self.tokenizer is None or self.texts == "none":
            raise BenchError(f"{self.without_texts}, so it can encode no text; use one with both towers")
        tokenizer = self.tokenizer
        tokens = (tokenizer(group) for group in groups(texts, batch))
        truncated = torch.tensor([self.token_count(text) > self.context_length for text in texts], dtype=torch.bool)
        return Texts(self._run("text", tokens, advance), truncated)

    @torch.inference_mode()
    def _run(self, tower: Tower, inputs: Iterable[Tensor], advance: Advance | None) -> Tensor:
        encode = self._encoding(tower)
        done: list[Tensor] = []
        held: list[Tensor] = []
        for x in inputs:
            # From memory that stays in its place a GPU copies while the processor prepares the next batch.
            ready = x if self.device.type == "cpu" else x.pin_memory()
            with full_float32():
                held.append(self.within_memory[tower](encode, ready))
            # A copy back waits for all that the GPU was asked to do, so that several batches share one.
            if len(held) == (1 if self.device.type == "cpu" else _HELD):
                done.append(torch.cat(held).to("cpu", self.dtype))
                held = []
            if advance is not None:
                advance(len(x))
        if held:
            done.append(torch.cat(held).to("cpu", self.dtype))
        if not done:
            return torch.zeros(0, 0, dtype=self.dtype)
        # A tensor made in inference mode cannot take part in training later; a clone outside it can.
        with torch.inference_mode(False):
            return torch.cat(done).clone()

    def _encoding(self, tower: Tower) -> Callable[[Tensor], Tensor]:
        """Return what encodes a batch: the runtime that was chosen for images, or the model."""
        if tower == "image" and self.images is not None:
            return self.images
        return lambda x: self._forward(tower, self._moved(tower, x))

    def _moved(self, tower: Tower, x: Tensor) -> Tensor:
        x = x.to(self.device, non_blocking=True)
        if tower == "text":
            return x
        # Convolutions are a third faster on the bundled encoder when channels lie last; others do not mind.
        return x.to(self.dtype, memory_format=torch.channels_last)

    def _forward(self, tower: Tower, x: Tensor) -> Tensor:
        model: Any = self.model
        if not self.projected:
            return nn.functional.normalize(before_projection(self.model, tower, x), dim=-1)
        features: Tensor = (model.encode_image if tower == "image" else model.encode_text)(x, normalize=True)
        return features


def digest_of_weights(state: Mapping[str, Tensor]) -> str:
    """Return the content hash of a model's parameters and buffers, by their names."""
    return digest(*(part for name in sorted(state) for part in (name, state[name])))


def _activations(model: nn.Module) -> list[str]:
    return sorted({type(m).__name__ for m in model.modules() if "GELU" in type(m).__name__})


Advance = Callable[[int], Any]
