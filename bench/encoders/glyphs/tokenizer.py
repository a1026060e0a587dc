"""A word-level tokenizer over the language of Unicode names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

PADDING, START, END = "<padding>", "<start>", "<end>"

_PIECE = re.compile(r"[a-z0-9]+|[^a-z0-9\s-]")
_SPELLED = "+"  # marks a letter of a word that is spelled out
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def pieces(text: str) -> list[str]:
    """Cut a text into lower-case words and single marks; hyphens part words."""
    return _PIECE.findall(text.lower())


def build_vocabulary(texts: Iterable[str], *, minimum: int) -> list[str]:
    """Choose the tokens.

    Parameters
    ----------
    texts
        The texts that training may read.
    minimum
        A word is a token of its own if it occurs at least this often; other
        words are spelled out.

    Returns
    -------
    list of str
        The identifier of a token is its position.  Padding is first, the end
        mark last: open_clip pools a text at its greatest identifier.
    """
    count = Counter(piece for text in texts for piece in pieces(text))
    frequent = sorted(piece for piece, n in count.items() if n >= minimum)
    spelled = [_SPELLED + letter for letter in _LETTERS]
    return [PADDING, START, *spelled, *frequent, END]


class Tokenizer:
    """Callable that turns texts into rows of token identifiers.

    Parameters
    ----------
    vocabulary
        Tokens in the order of their identifiers, see :func:`build_vocabulary`.
    context_length
        Length of a row, start and end marks included.

    Raises
    ------
    ValueError
        The vocabulary repeats a token, or its marks are not where they belong.
    """

    def __init__(self, vocabulary: Sequence[str], context_length: int) -> None:
        self.context_length = context_length
        self._ids = {token: i for i, token in enumerate(vocabulary)}
        if len(self._ids) != len(vocabulary):
            raise ValueError("the vocabulary repeats a token")
        if [vocabulary[0], vocabulary[1], vocabulary[-1]] != [PADDING, START, END]:
            raise ValueError("the vocabulary lacks its marks for padding, start and end")

    @classmethod
    def from_file(cls, path: Path, context_length: int) -> Tokenizer:
        """Read a vocabulary of one token a line."""
        return cls(path.read_text(encoding="utf-8").splitlines(), context_length)

    def __len__(self) -> int:
        """Return the number of tokens in the vocabulary."""
        return len(self._ids)

    def encode(self, text: str) -> list[int]:
        """Return the identifiers of a text, without marks and at any length.

        A word outside the vocabulary is spelled letter by letter; a mark
        outside it is passed over.
        """
        ids: list[int] = []
        for piece in pieces(text):
            if piece in self._ids:
                ids.append(self._ids[piece])
            else:
                spelled = (self._ids.get(_SPELLED + letter) for letter in piece)
                ids.extend(i for i in spelled if i is not None)
        return ids

    def __call__(self, texts: str | Sequence[str]) -> torch.Tensor:
        """Tokenize texts.

        Parameters
        ----------
        texts
            One text or several.

        Returns
        -------
        Tensor of int64, shape (texts, context_length)
            Start mark, tokens, end mark, padding; a long text is cut before
            its end mark.
        """
        rows = [texts] if isinstance(texts, str) else texts
        result = torch.zeros((len(rows), self.context_length), dtype=torch.long)
        start, end = self._ids[START], self._ids[END]
        for row, text in zip(result, rows, strict=True):
            ids = [start, *self.encode(text)[: self.context_length - 2], end]
            row[: len(ids)] = torch.tensor(ids)
        return result
