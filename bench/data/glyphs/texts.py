"""Sentences about characters, from templates and from Unicode properties."""

from __future__ import annotations

import unicodedata

from bench.data.glyphs.catalogue import Character

LEADS: tuple[str, ...] = (
    "this is",
    "the character",
    "a picture of",
    "an image of",
    "the glyph of",
    "a printed",
    "how to type",
    "a page that shows",
)
TAILS: tuple[str, ...] = (
    "",
    "in print",
    "in dark ink",
    "in a bold font",
    "in a serif typeface",
    "in the unicode standard",
    "on a keyboard",
    "on a page",
)
"""Openings and endings of sentences that name a class, as pages on the web would."""


def mention(name: str, lead: str, tail: str) -> str:
    """Write a sentence that names a class."""
    return f"{lead} {name} {tail}".rstrip()


_CATEGORIES = {
    "Lu": "an uppercase letter",
    "Ll": "a lowercase letter",
    "Lt": "a titlecase letter",
    "Lm": "a modifier letter",
    "Lo": "a letter without case",
    "Nd": "a decimal digit",
    "Nl": "a letter that is a number",
    "No": "a number",
    "Pc": "a connector",
    "Pd": "a dash",
    "Ps": "an opening bracket",
    "Pe": "a closing bracket",
    "Pi": "an opening quotation mark",
    "Pf": "a closing quotation mark",
    "Po": "a punctuation mark",
    "Sm": "a mathematical sign",
    "Sc": "a currency sign",
    "Sk": "a modifier sign",
    "So": "a symbol",
}

_KINDS = {"super": "superscript", "sub": "subscript", "compat": "compatibility"}


def _name(char: str) -> str:
    return unicodedata.name(char, "").lower()


def describe(character: Character) -> list[str]:
    """Write what the Unicode tables say about a character.

    Parameters
    ----------
    character
        The class.

    Returns
    -------
    list of str
        At least one sentence: on its general category, and where the tables
        have an entry on its decomposition, numeric value and case pair.
    """
    char = character.char
    found = [f"{character.name} is {_CATEGORIES[unicodedata.category(char)]}"]
    fields = unicodedata.decomposition(char).split()
    kind = fields.pop(0).strip("<>") if fields and fields[0].startswith("<") else ""
    names = [name for name in (_name(chr(int(field, 16))) for field in fields) if name]
    if names:
        joined = " and ".join(names[:2])
        found.append(f"a {_KINDS.get(kind, kind)} form of {joined}" if kind else f"it is made of {joined}")
    value = unicodedata.numeric(char, None)
    if value is not None:
        found.append(f"{character.name} has the value {value:.4g}")
    lower, upper = char.lower(), char.upper()
    if lower != char and len(lower) == 1:
        found.append(f"the uppercase of {_name(lower)}")
    elif upper != char and len(upper) == 1:
        found.append(f"the lowercase of {_name(upper)}")
    return found
