"""A tiny open_clip model with random weights, and small images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.unit.pictures import noise

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 2},
}
TINY_RESNET = TINY | {
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "patch_size": None}
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with configs, and the weights of ``tiny-vit`` and ``tiny-resnet``, both known to open_clip."""
    # Only here, since it takes seconds and most tests do without.
    import open_clip

    folder = tmp_path_factory.mktemp("tiny")
    for name, config in (("tiny-vit", TINY), ("tiny-resnet", TINY_RESNET)):
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = open_clip.create_model(name)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def pictures() -> list[Image.Image]:
    return [noise(seed) for seed in range(13)]
