"""Files of weights, read without running code from them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.utils.errors import BenchError, one_line

_WITHIN = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")
"""Keys under which trainers keep the weights, averaged ones first."""
_WRAPPED = ("module.", "_orig_mod.")
"""What wrappers of a model put before the names of its weights."""


def read_pickle(path: Path, *, device: str = "cpu") -> dict[str, Any]:
    """Return the dictionary that ``torch.save`` wrote; what holds more than tensors and plain values is not opened.

    Raises
    ------
    BenchError
        For a pickle that would run code, a damaged file, and one that holds no dictionary.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        raise BenchError(
            f"{path} is a pickle with more than weights in it and was not opened, since that runs code; "
            "save its state_dict as safetensors"
        ) from None
    except Exception as error:  # a damaged archive, a TorchScript program
        raise BenchError(
            f"{path} cannot be read as weights: {one_line(error)}; save a state_dict as safetensors"
        ) from None
    if not isinstance(content, dict) or not content:
        raise BenchError(f"{path} holds a {type(content).__name__} instead of a state_dict; save model.state_dict()")
    return content


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a safetensors file or of a pickle of weights alone, by name, in the file's order.

    Those within a trainer's checkpoint are found under the usual keys, averaged ones first; the prefixes of wrappers
    are taken off.

    Raises
    ------
    BenchError
        For a file that is not there, cannot be read, or holds no weights.
    """
    if not path.is_file():
        raise BenchError(f"{path} is no file; give the path of a checkpoint (.safetensors, or a pickle of weights)")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found: dict[str, Any] = load_file(path)
        except (SafetensorError, OSError) as error:
            raise BenchError(f"{path} cannot be read as weights: {one_line(error)}; fetch it again") from None
    else:
        found = read_pickle(path)
        for key in _WITHIN:
            if isinstance(found.get(key), dict) and found[key]:
                found = found[key]
                break
    weights = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    if not weights:
        raise BenchError(f"{path} holds no weights by name; save model.state_dict()")
    for prefix in _WRAPPED:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def fit_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: str, architecture: str) -> None:
    """Load weights that must be those of a model, all of them and no others.

    Raises
    ------
    BenchError
        If some are missing, strange or of another shape: with them the model would be another, or partly random.
    """
    own = model.state_dict()
    unfit = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
    strange = [name for name in weights if name not in own]
    if unfit or strange:
        what = f"{len(unfit)} tensors are missing or of another shape" if unfit else f"{len(strange)} are not its own"
        raise BenchError(
            f"{origin} does not hold the weights of {architecture}: {what}, e.g. {(unfit or strange)[0]}; name the "
            "architecture they were trained with"
        )
    model.load_state_dict(dict(weights))
