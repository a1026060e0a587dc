"""Plain text to sentences."""

from __future__ import annotations

import importlib
import re
from typing import Literal

from bench.utils.errors import BenchError

Splitter = Literal["rules", "pysbd"]

_ABBREVIATIONS = frozenset(
    (
        *("al", "approx", "art", "c", "ca", "cf", "ch", "dr", "e.g", "ed", "eds", "eg", "esp", "est", "etc", "fig"),
        *("figs", "fl", "gen", "hon", "i.e", "ie", "inc", "jr", "lt", "ltd", "mr", "mrs", "ms", "mt", "no", "nos"),
        *("op", "pl", "pp", "prof", "rev", "sp", "sr", "ssp", "st", "subsp", "syn", "u.k", "u.s", "var", "vol", "vs"),
    )
)
_END = re.compile(r"([.!?]+)([\"'\u201d\u2019)\]]*)\s+(?=[\"'\u201c\u2018(\[]*[A-Z0-9\u00c0-\u00de])")


def split_sentences(text: str, *, splitter: Splitter = "rules", shortest: int = 4, longest: int = 60) -> list[str]:
    """Return the sentences of a text in order, each once.

    Lines are split first, so that headings and list entries do not run into sentences; what has fewer than
    ``shortest`` or more than ``longest`` words, or no full stop at its end, is left out: headings, lists, tables.

    Parameters
    ----------
    splitter : {"rules", "pysbd"}
        ``rules`` ends a sentence at a full stop before a capital or digit, unless it follows an abbreviation or a
        single letter; ``pysbd`` asks the library of that name (Sadvilkar and Neumann, PySBD, 2020, arXiv:2010.09657).
    """
    found: dict[str, None] = {}
    for line in text.splitlines():
        paragraph = " ".join(line.split())
        if not paragraph:
            continue
        for sentence in _pysbd(paragraph) if splitter == "pysbd" else _rules(paragraph):
            if shortest <= len(sentence.split()) <= longest and re.search(r"[.!?][\"'\u201d\u2019)\]]*$", sentence):
                found[sentence] = None
    return list(found)


def _rules(paragraph: str) -> list[str]:
    sentences, start = [], 0
    for match in _END.finditer(paragraph):
        before = paragraph[start : match.start(1)].rsplit(None, 1)
        word = before[-1].lstrip("(\"'[\u201c").lower() if before else ""
        initial = len(word) == 1 and word.isalpha()
        if match.group(1) == "." and (word in _ABBREVIATIONS or initial):
            continue
        sentences.append(paragraph[start : match.end(2)].strip())
        start = match.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _pysbd(paragraph: str) -> list[str]:
    try:
        pysbd = importlib.import_module("pysbd")
    except ImportError:
        raise BenchError(
            "the splitter pysbd is not installed; `pip install 'retrieval-bench[web]'`, or use the splitter rules"
        ) from None
    return [str(sentence).strip() for sentence in pysbd.Segmenter(language="en", clean=False).segment(paragraph)]
