"""Prompt ensembles: one text vector a class from many templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench.encoders.encoder import Encoder
from bench.functional.classwise import normalise
from bench.utils.errors import BenchError, suggest
from bench.utils.texts import read_text

Template = Callable[[str], str]


def _named() -> dict[str, tuple[Template, ...]]:
    import open_clip

    return {
        "imagenet-80": tuple(open_clip.OPENAI_IMAGENET_TEMPLATES),
        "imagenet-7": tuple(open_clip.SIMPLE_IMAGENET_TEMPLATES),
        "photo": ("a photo of a {}.".format,),
        "name": ("{}".format,),
    }


def of_strings(strings: Sequence[str], where: str) -> tuple[Template, ...]:
    """Return templates for strings with ``{}`` where the class name goes."""
    for number, string in enumerate(strings, start=1):
        if string.count("{}") != 1:
            raise BenchError(f"{where}: template {number} ({string!r}) needs exactly one {{}} for the class name")
    if not strings:
        raise BenchError(f"{where} holds no template; write one a line, with {{}} for the class name")
    # str.format would read further braces; a plain replacement cannot.
    return tuple((lambda name, s=string: s.replace("{}", name)) for string in strings)


def read_templates(wanted: str | Path) -> tuple[Template, ...]:
    """Return the templates of a name, or of a text file with one a line.

    ``imagenet-80`` are the 80 of CLIP (Radford et al., Learning Transferable Visual Models From Natural Language
    Supervision, ICML 2021, arXiv:2103.00020) and ``imagenet-7`` the seven of its notebook, both as open_clip holds
    them; ``photo`` is "a photo of a {}." and ``name`` the bare name.
    """
    path = Path(wanted)
    if path.is_file():
        lines = [line.strip() for line in read_text(path, "a text file with one template a line").splitlines()]
        return of_strings([line for line in lines if line and not line.startswith("#")], str(path))
    named = _named()
    if str(wanted) not in named:
        raise BenchError(f"{str(wanted)!r} is neither a text file nor known templates{suggest(str(wanted), named)}")
    return named[str(wanted)]


@dataclass(frozen=True, eq=False)
class ClassTexts:
    """One vector a class, and how many of its prompts were cut: ``x`` unit norm float32 [c, d]."""

    x: Tensor
    truncated: int
    prompts: int


EncodeTexts = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Texts to their features [n, d] and which were truncated, bool [n]."""


def class_texts(encode: Encoder | EncodeTexts, class_names: Sequence[str], templates: Sequence[Template]) -> ClassTexts:
    """Return the normalised mean of the normalised prompts of each class.

    The prompt ensemble of CLIP (Radford et al., ICML 2021, arXiv:2103.00020, section 3.1.4), in the embedding space.
    """
    texts = [template(name) for name in class_names for template in templates]
    if isinstance(encode, Encoder):
        encoded = encode.encode_texts(texts)
        x, truncated = encoded.x, encoded.truncated
    else:
        x, truncated = encode(texts)
    if not len(class_names):
        return ClassTexts(torch.zeros(0, 0), 0, 0)
    mean = normalise(x).view(len(class_names), len(templates), -1).mean(1)
    return ClassTexts(normalise(mean), int(truncated.sum()), len(texts))
