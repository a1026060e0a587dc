"""Encoders by name: a registered name or scheme, and what open_clip knows otherwise."""

from __future__ import annotations

import re
from typing import Any, Literal

import torch

from bench.device.precision import Precision
from bench.encoders.encoder import RUNTIME_SUFFIX, Encoder
from bench.encoders.onnx_runtime import with_onnx_runtime
from bench.encoders.open_clip_models import SCHEMES, load_open_clip
from bench.encoders.registry import ENCODERS
from bench.encoders.synthesised_texts import SUFFIX
from bench.utils.errors import BenchError
from bench.utils.hashing import digest

TextsOf = Literal["own", "synthesised"]
"""Where an encoder's texts come from."""


def named_with_texts(spec: str) -> str:
    """Return the name of an encoder whose texts are synthesised."""
    plain = without_suffixes(spec)
    return plain + SUFFIX + (RUNTIME_SUFFIX if RUNTIME_SUFFIX in spec.removeprefix(plain) else "")


def encoder_slug(spec: str) -> str:
    """Return an encoder's name as a part of the name of a file: paths by their last part, other signs as dashes."""
    parts = [part.rpartition("/")[2] if "/" in part else part for part in spec.split(":")]
    short = re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip("-")[:60]
    # Two checkpoints of one name in two folders are two encoders.
    return short if "/" not in spec else f"{short}-{digest(spec)[:6]}"


def load_encoder(
    spec: str,
    *,
    precision: Precision = "fp32",
    device: str | torch.device = "cpu",
    projected: bool = True,
    quick_gelu: bool | None = None,
    texts: TextsOf = "own",
) -> Encoder:
    """Return the encoder of a specification.

    Parameters
    ----------
    spec : str
        ``ARCHITECTURE:TAG`` for weights that open_clip fetches, ``ARCHITECTURE:PATH`` for a local checkpoint,
        ``local-dir:FOLDER`` for a folder with ``open_clip_config.json`` and weights, ``hf-hub:ORG/MODEL``,
        ``align:ORG/MODEL`` or ``align:FOLDER`` for ALIGN through transformers, ``hf:ORG/MODEL`` or ``hf:FOLDER`` for
        other models of transformers, ``timm:NAME`` or ``timm:NAME:FILE``, ``photos`` for the encoder that a package
        brings, ``glyphs`` for the bundled one, or the name or scheme of a plug-in. One that ends with ``:runtime=onnx``
        has its images encoded by ONNX Runtime; see :mod:`bench.encoders.onnx_runtime`.
    precision : {"fp32", "fp16", "bf16"}
        Type of the matrix weights and of the features; normalisation layers stay in float32, as in open_clip.
    projected : bool
        False takes features before the projection into the joint space.
    quick_gelu : bool, optional
        The activation of a local checkpoint, where the architecture's own is not the one it was trained with.
        Weights known to open_clip bring theirs: it is put right, with a note, where the architecture differs.
    texts : {"own", "synthesised"}
        ``synthesised`` makes texts of an ImageNet classifier's rows, for an encoder without a text tower; see
        :mod:`bench.encoders.synthesised_texts`. The name then ends with ``:texts=synthesised``, and so may ``spec``.

    Raises
    ------
    BenchError
        For an unknown encoder, weights that cannot be fetched or read, and a plug-in that cannot be loaded.
    """
    plain = without_suffixes(spec)
    if SUFFIX in spec.removeprefix(plain):
        texts = "synthesised"
    made = _load(plain, precision=precision, device=device, projected=projected, quick_gelu=quick_gelu, texts=texts)
    return with_onnx_runtime(made) if RUNTIME_SUFFIX in spec.removeprefix(plain) else made


def without_suffixes(spec: str) -> str:
    """Return an encoder's name without what it says of its texts and of what runs it."""
    before = ""
    while before != spec:
        before, spec = spec, spec.removesuffix(SUFFIX).removesuffix(RUNTIME_SUFFIX)
    return spec


def _load(
    spec: str, *, precision: Precision, device: str | torch.device, projected: bool, quick_gelu: bool | None, texts: str
) -> Encoder:
    name, colon, place = spec.partition(":")
    entry = None if spec.startswith(SCHEMES) else ENCODERS.find(name + colon)
    options: dict[str, Any] = {}
    if texts == "synthesised":
        if entry is None or not entry.options.get("synthesises"):
            raise BenchError(
                f"the texts of {spec} cannot be synthesised: that takes a classifier of ImageNet, such as photos or "
                "timm:NAME; leave --texts synthesised out"
            )
        options["texts"] = texts
    if entry is None and colon and ENCODERS.find(name) is not None:
        raise BenchError(f"there is one encoder {name}; leave out {colon + place!r}")
    if entry is None:
        return load_open_clip(spec, precision=precision, device=device, projected=projected, quick_gelu=quick_gelu)
    if quick_gelu is not None:
        raise BenchError(f"the activation of {name} is a part of it; leave quick_gelu out")
    made = entry.cls(place, precision=precision, device=device, projected=projected, **options)
    if not isinstance(made, Encoder):
        raise BenchError(f"encoder {name!r} ({entry.cls.__module__}) returns no bench.encoders.Encoder; mend it")
    return made
