"""Encoders of open_clip: ``ARCHITECTURE:TAG``, a local checkpoint, a folder, or a model of the Hugging Face hub."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.device.precision import Precision
from bench.encoders.checkpoints import read_pickle
from bench.encoders.encoder import Encoder
from bench.encoders.hub import one_try
from bench.encoders.registry import encoder
from bench.utils.errors import BenchError, one_line, suggest

SCHEMES = ("hf-hub:", "local-dir:")


@encoder("hf-hub:", description="a model of the Hugging Face hub in open_clip's format: hf-hub:ORG/MODEL")
def load_from_hub(
    place: str, /, *, precision: Precision = "fp32", device: str | torch.device = "cpu", projected: bool = True
) -> Encoder:
    """Return a model of the hub."""
    return load_open_clip(f"hf-hub:{place}", precision=precision, device=device, projected=projected)


@encoder("local-dir:", description="a folder with open_clip_config.json and weights: local-dir:FOLDER")
def load_from_folder(
    place: str, /, *, precision: Precision = "fp32", device: str | torch.device = "cpu", projected: bool = True
) -> Encoder:
    """Return the model of a folder."""
    return load_open_clip(f"local-dir:{place}", precision=precision, device=device, projected=projected)


def load_open_clip(
    spec: str,
    *,
    precision: Precision = "fp32",
    device: str | torch.device = "cpu",
    projected: bool = True,
    quick_gelu: bool | None = None,
) -> Encoder:
    """Return an encoder that open_clip builds; see :func:`bench.encoders.load_encoder` for the parameters.

    Raises
    ------
    BenchError
        For an unknown architecture or tag, weights that cannot be fetched, a checkpoint of another architecture,
        and a pickle that holds more than weights, which is not opened.
    """
    import open_clip

    name, pretrained = _parts(spec)
    checkpoint = _checkpoint(name, pretrained)
    _refuse_unsafe(checkpoint)
    activation, notes = _activation(name, pretrained, checkpoint, quick_gelu)
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    forced: dict[str, Any] = {} if activation is None else {"quick_gelu": activation}
    try:
        # Fresh weights are drawn before the checkpoint's replace them; the caller's random state is not to move.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # Its warning about the activation, which was settled above, does not see the override.
            warnings.filterwarnings("ignore", message="QuickGELU mismatch")
            model = open_clip.create_model(
                name,
                pretrained=pretrained or None,
                precision=precision,
                device=device,
                weights_only=True,
                require_pretrained=True,
                **forced,
            )
        tokenizer = open_clip.get_tokenizer(name)
    except BenchError:
        raise
    except Exception as error:  # open_clip raises many kinds for a checkpoint that does not fit
        raise BenchError(
            f"{checkpoint} is no checkpoint of {name}: {one_line(error)}; name the architecture it was trained with"
        ) from None
    config = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    return Encoder(
        name=spec,
        model=model.eval().requires_grad_(False),
        transform=open_clip.transform.image_transform_v2(config, is_train=False),
        tokenizer=tokenizer,
        token_count=lambda text: _token_count(tokenizer, text),
        context_length=int(tokenizer.context_length or model.context_length),
        preprocessing=asdict(config),
        precision=precision,
        device=torch.device(device),
        projected=projected,
        notes=tuple(notes),
    )


def _parts(spec: str) -> tuple[str, str]:
    """Return the architecture (or scheme and place) and the pretrained tag or path."""
    import open_clip

    if spec.startswith(SCHEMES):
        return spec, ""
    name, colon, pretrained = spec.partition(":")
    known = open_clip.list_models()
    name = name.replace("/", "-")
    if name not in known:
        raise BenchError(f"unknown architecture {name!r}{suggest(name, known)}")
    if not colon or not pretrained:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "a checkpoint's path"
        raise BenchError(f"encoder {spec!r} names no weights; write {name}:PRETRAINED with one of {tags}")
    return name, pretrained


def _checkpoint(name: str, pretrained: str) -> Path:
    """Return the file of the weights; a tag's is fetched, if it is not there already."""
    import open_clip
    from open_clip.pretrained import download_pretrained, download_pretrained_from_hf, get_pretrained_cfg

    scheme, _, place = name.partition(":")
    if scheme == "local-dir":
        found = [path for end in ("safetensors", "bin", "pth") for path in sorted(Path(place).glob(f"*.{end}"))]
        if not (Path(place) / "open_clip_config.json").is_file() or not found:
            raise BenchError(f"{place} needs open_clip_config.json and one weights file (.safetensors, .bin, .pth)")
        if len(found) > 1:
            raise BenchError(f"{place} holds several weights files ({', '.join(p.name for p in found)}); leave one")
        return found[0]
    config = get_pretrained_cfg(name, pretrained) if scheme != "hf-hub" else None
    try:
        if scheme == "hf-hub" or config:
            with one_try():
                return Path(download_pretrained(config) if config else download_pretrained_from_hf(place))
    except Exception as error:  # the hub client and urllib raise many kinds
        raise BenchError(
            f"the weights of {name}{':' + pretrained if pretrained else ''} cannot be fetched ({one_line(error)}); "
            "without a network give ARCHITECTURE:PATH of a checkpoint, or use the encoder 'glyphs'"
        ) from None
    if not Path(pretrained).is_file():
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise BenchError(f"{pretrained!r} is neither a file nor known weights of {name}{suggest(pretrained, tags)}")
    return Path(pretrained)


def _refuse_unsafe(path: Path) -> None:
    """Raise for a checkpoint that cannot be read without running code from it."""
    if path.suffix in (".safetensors", ".npz", ".npy"):
        return
    read_pickle(path, device="meta")


def _activation(name: str, pretrained: str, checkpoint: Path, asked: bool | None) -> tuple[bool | None, list[str]]:
    """Return the activation to build with (None for the architecture's own) and what to tell the user."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    own = bool((open_clip.get_model_config(name) or {}).get("quick_gelu", False))
    config = get_pretrained_cfg(name, pretrained) if pretrained else {}
    words = {True: "QuickGELU", False: "GELU"}
    if config:
        trained = bool(config.get("quick_gelu", False))
        if asked is not None and asked != trained:
            return asked, [f"{name}:{pretrained} was trained with {words[trained]}, but {words[asked]} was asked for"]
        if trained != own:
            return trained, [
                f"{name}:{pretrained} was trained with {words[trained]}, which is used instead of {words[own]}"
            ]
        return None, []
    if asked is None and not own and "openai" in checkpoint.name.lower():
        return None, [
            f"{checkpoint.name} looks like OpenAI weights, which need QuickGELU, but {name} has GELU; "
            f"use {name}-quickgelu or quick_gelu=True"
        ]
    return asked, []


def _token_count(tokenizer: Any, text: str) -> int:
    if hasattr(tokenizer, "encode"):
        return len(tokenizer.encode(text)) + 2  # the start and end marks
    return len(tokenizer.tokenizer(text).input_ids)
