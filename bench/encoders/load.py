"""Encoders by name: a registered name or scheme, and what open_clip knows otherwise."""

from __future__ import annotations

import torch

from bench.device.precision import Precision
from bench.encoders.encoder import Encoder
from bench.encoders.open_clip_models import SCHEMES, load_open_clip
from bench.encoders.registry import ENCODERS
from bench.utils.errors import BenchError


def load_encoder(
    spec: str,
    *,
    precision: Precision = "fp32",
    device: str | torch.device = "cpu",
    projected: bool = True,
    quick_gelu: bool | None = None,
) -> Encoder:
    """Return the encoder of a specification.

    Parameters
    ----------
    spec : str
        ``ARCHITECTURE:TAG`` for weights that open_clip fetches, ``ARCHITECTURE:PATH`` for a local checkpoint,
        ``local-dir:FOLDER`` for a folder with ``open_clip_config.json`` and weights, ``hf-hub:ORG/MODEL``,
        ``align:ORG/MODEL`` or ``align:FOLDER`` for ALIGN through transformers, ``glyphs`` for the bundled encoder, or
        the name or scheme of a plug-in.
    precision : {"fp32", "fp16", "bf16"}
        Type of the matrix weights and of the features; normalisation layers stay in float32, as in open_clip.
    projected : bool
        False takes features before the projection into the joint space.
    quick_gelu : bool, optional
        The activation of a local checkpoint, where the architecture's own is not the one it was trained with.
        Weights known to open_clip bring theirs: it is put right, with a note, where the architecture differs.

    Raises
    ------
    BenchError
        For an unknown encoder, weights that cannot be fetched or read, and a plug-in that cannot be loaded.
    """
    name, colon, place = spec.partition(":")
    entry = None if spec.startswith(SCHEMES) else ENCODERS.find(name + colon)
    if entry is None:
        return load_open_clip(spec, precision=precision, device=device, projected=projected, quick_gelu=quick_gelu)
    if quick_gelu is not None:
        raise BenchError(f"the activation of {name} is a part of it; leave quick_gelu out")
    made = entry.cls(place, precision=precision, device=device, projected=projected)
    if not isinstance(made, Encoder):
        raise BenchError(f"encoder {name!r} ({entry.cls.__module__}) returns no bench.encoders.Encoder; mend it")
    return made
