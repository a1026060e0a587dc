"""Image models of timm: ``timm:NAME`` with published weights, ``timm:NAME:FILE`` with those of a checkpoint."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from bench.device.precision import DTYPES, Precision
from bench.encoders.checkpoints import fit_weights, read_weights
from bench.encoders.encoder import Encoder
from bench.encoders.hub import one_try
from bench.encoders.lower_precision import lower_precision
from bench.encoders.pooled import Pooled
from bench.encoders.registry import encoder
from bench.encoders.synthesised_texts import SUFFIX, TEMPERATURE, Tokens, synthesised
from bench.utils.errors import BenchError, one_line, suggest
from bench.utils.names import expand

_SOFTWARE = ("pillow", "timm", "torch", "torchvision")


@encoder(
    "timm:", description="any image model of timm: timm:NAME, or timm:NAME:FILE for a checkpoint", synthesises=True
)
def load_timm(
    place: str,
    /,
    *,
    precision: Precision = "fp32",
    device: str | torch.device = "cpu",
    projected: bool = True,
    texts: str = "own",
) -> Encoder:
    """Return an image model of timm, its pooled output the feature; it has no text tower of its own.

    Preprocessing is the model's own, as ``timm.data.resolve_data_config`` tells it.

    Parameters
    ----------
    place : str
        ``NAME``, perhaps with a tag (``vit_base_patch14_dinov2.lvd142m``), whose weights timm fetches; or
        ``NAME:FILE`` with a checkpoint of that architecture, of any number of classes.

    Raises
    ------
    BenchError
        For an unknown name, weights that cannot be fetched, and a checkpoint of another architecture.
    """
    name, _, file = place.partition(":")
    classifier, config = build(name, expand(Path(file)) if file else None)
    return image_encoder(
        f"timm:{place}",
        classifier,
        config,
        precision=precision,
        device=device,
        projected=projected,
        texts=texts,
        licence="unknown" if file else str(config.get("license") or "unknown"),
    )


def build(name: str, file: Path | None) -> tuple[nn.Module, Mapping[str, Any]]:
    """Return a model of timm with its classifier, and its own configuration.

    Raises
    ------
    BenchError
        As :func:`load_timm` does.
    """
    import timm

    if not name or not timm.is_model(name):
        known = suggest(name, timm.list_models()) if name else "; write timm:NAME"
        advice = known if "did you mean" in known else "; `timm.list_models()` names them all"
        raise BenchError(f"timm has no model {name!r}{advice}")
    weights = read_weights(file) if file is not None else None
    # Fresh weights are drawn before others replace them; the caller's random state is not to move.
    with torch.random.fork_rng(devices=[]):
        try:
            if weights is None:
                with one_try():
                    model: Any = timm.create_model(name, pretrained=True)
            else:
                model = timm.create_model(name, num_classes=_classes(name, weights))
        except Exception as error:  # timm and the hub's client raise many kinds
            raise BenchError(
                f"timm's weights of {name} cannot be had ({one_line(error)}); name other weights with NAME.TAG, or "
                "without a network give timm:NAME:FILE"
            ) from None
    if weights is not None:
        fit_weights(model, weights, origin=str(file), architecture=name)
    return model, dict(model.pretrained_cfg)


def _classes(name: str, weights: Mapping[str, Tensor]) -> int:
    """Return how many classes a checkpoint of an architecture has; 0 for one without a classifier."""
    import timm

    tagged = timm.get_pretrained_cfg(name, allow_unregistered=True)
    head = getattr(tagged, "classifier", None) or ""
    for one in (head,) if isinstance(head, str) else head:
        weight = weights.get(f"{one}.weight")
        if weight is not None:
            return len(weight)
    return 0


def image_encoder(
    spec: str,
    model: nn.Module,
    config: Mapping[str, Any],
    *,
    precision: Precision,
    device: str | torch.device,
    projected: bool,
    texts: str,
    licence: str,
) -> Encoder:
    """Return an encoder whose feature is what a timm model pools before its classifier.

    With ``texts="synthesised"`` it has texts that are made of the classifier's rows.

    Raises
    ------
    BenchError
        If the model pools nothing, and if texts cannot be made.
    """
    data: Any = importlib.import_module("timm.data")
    resolved = data.resolve_data_config(dict(config), model=model)
    transform = data.create_transform(**resolved, is_training=False)
    channels = int(resolved["input_size"][0])
    visual: Any = model
    head = visual.get_classifier()
    visual.reset_classifier(0)
    towers: Pooled = Pooled(visual.eval())
    tokens: Tokens | None = None
    if texts == "synthesised":
        towers, tokens = synthesised(spec, head, visual.eval())
    _require_pooled(spec, towers, tuple(resolved["input_size"]))
    if precision != "fp32":
        lower_precision(towers, DTYPES[precision])

    def pixels(image: Image.Image) -> Tensor:
        made: Tensor = transform(image.convert("RGB" if channels == 3 else "L"))
        return made

    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in resolved.items()}
    about_texts: dict[str, Any] = {"texts": "none"}
    if tokens is not None:
        about_texts = {
            "texts": "synthesised",
            "templates": "name",
            "tokenizer": tokens,
            "token_count": tokens.count,
            "context_length": tokens.context_length,
            "software": (*_SOFTWARE, "open_clip_torch", "tokenizers", "transformers"),
        }
        plain["temperature"] = TEMPERATURE
    return Encoder(
        name=spec if tokens is None else spec + SUFFIX,
        model=towers.to(device).eval().requires_grad_(False),
        transform=pixels,
        preprocessing=plain | {"architecture": config["architecture"]},
        precision=precision,
        device=torch.device(device),
        projected=projected,
        notes=() if projected else (f"{spec} projects nothing: its features are the same before and after",),
        licence=licence,
        **{"software": _SOFTWARE, **about_texts},
    )


def _require_pooled(spec: str, towers: Pooled, shape: tuple[int, ...]) -> None:
    with torch.no_grad():
        try:
            found = towers.visual(torch.zeros(1, *shape))
        except Exception as error:  # whatever a model raises on an image that it should take
            raise BenchError(f"{spec} cannot encode an image ({one_line(error)}); choose another model") from None
    if not isinstance(found, Tensor) or found.ndim != 2:
        raise BenchError(f"{spec} gives no pooled feature; choose a model with global pooling")
