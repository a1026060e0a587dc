"""The files of the bundled encoder, read without open_clip, which takes seconds to import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from safetensors.torch import load_file
from torch import Tensor

from bench.encoders.glyphs.tokenizer import Tokenizer

CONFIG_FILE = Path(__file__).with_name("encoder.json")
WEIGHTS_FILE = Path(__file__).with_name("encoder.safetensors")
VOCABULARY_FILE = Path(__file__).with_name("vocabulary.txt")


def read_config(path: Path = CONFIG_FILE) -> dict[str, Any]:
    """Return a model configuration in the form that open_clip uses."""
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))


def read_weights(path: Path = WEIGHTS_FILE) -> dict[str, Tensor]:
    """Return parameters and buffers by name, float32 but for whole numbers."""
    return {name: t.float() if t.is_floating_point() else t for name, t in load_file(path).items()}


def read_tokenizer() -> Tokenizer:
    """Return the tokenizer, at the context length of the configuration."""
    return Tokenizer.from_file(VOCABULARY_FILE, read_config()["text_cfg"]["context_length"])
