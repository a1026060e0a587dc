"""SigLIP 2 in its NaFlex form, whose number of patches follows the picture: refused in one line, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.encoders import load_encoder
from bench.utils.errors import BenchError


def test_patches_whose_number_follows_the_picture_are_refused(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models

    small = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Siglip2Config(
        text_config=small | {"vocab_size": 4, "max_position_embeddings": 8, "projection_size": 24},
        vision_config=small | {"num_patches": 16, "patch_size": 8},
    )
    with torch.random.fork_rng(devices=[]):
        transformers.Siglip2Model(config).eval().save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "a": 2, "cat": 3}, unk_token="<unk>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")
    images = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    transformers.Siglip2Processor(images, tokenizer).save_pretrained(tmp_path)
    with pytest.raises(BenchError, match="choose a model of fixed resolution") as caught:
        load_encoder(f"hf:{tmp_path}")
    assert "spatial_shapes" in str(caught.value)
    assert "\n" not in str(caught.value)
