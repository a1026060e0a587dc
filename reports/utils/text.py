"""Words for people and names of files: conditions, groups, sorting by number."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from bench.utils.names import printable

_LONGEST = 120
"""Characters of a file's name; an ending joins it."""
_USUAL = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?")
"""A name that is a part of a file's name as it is."""
_KEY = re.compile(r"[a-z][a-z0-9_]*")


def condition_text(condition: str) -> str:
    """Return a condition (JSON) in words: ``base 0, increment 10``."""
    return printable(", ".join(f"{key} {_value_text(value)}" for key, value in json.loads(condition).items()))


def _value_text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def place(scenario: object, dataset: object, condition: object) -> str:
    """Return what a figure is about in words: ``incremental on glyphs, base 0, increment 10``."""
    words = condition_text(str(condition))
    return f"{scenario} on {dataset}" + (f", {words}" if words else "")


def slug(*parts: str) -> str:
    """Return a file name of lower-case letters, digits, dots, hyphens and underscores.

    Parts that have nothing else are joined by hyphens and stay as they are. A name of other parts, and a long one, ends
    in a hash of its parts, so that ``A b`` and ``a-b`` are two files, also where capitals do not count.
    """
    given = [part for part in parts if part]
    words = "-".join(filter(None, map(_words, given)))
    if len(words) <= _LONGEST and all(map(_is_usual, given)):
        return words
    return _marked(words[: _LONGEST - 7], json.dumps(given))


def _words(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.").lower()


def _is_usual(text: str) -> bool:
    return bool(_USUAL.fullmatch(text)) and "--" not in text


def _marked(words: str, whole: str) -> str:
    return f"{words}-{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}".strip("-.")


def natural(text: str) -> str:
    """Return a text that sorts by its numbers: ``"shots": 4`` comes before ``"shots": 16``."""
    return re.sub(r"\d+(\.\d+)?", lambda match: f"{float(match.group()):020.6f}", text)


def file_name(scenario: object, dataset: object, condition: object, what: str) -> str:
    """Return the name of the file about one group, another for each; see :func:`slug`."""
    return slug(str(scenario), str(dataset), condition_name(str(condition)), what)


def condition_name(condition: str) -> str:
    """Return a condition (JSON) as a part of a file's name: ``base-0-increment-10``.

    A long one, and one with values that would be lost, are told apart by a hash.
    """
    settings = json.loads(condition)
    words = _words(condition_text(condition).replace("_", "-"))
    values = [one for value in settings.values() for one in (value if isinstance(value, list) else [value])]
    if len(words) <= 60 and all(_KEY.fullmatch(key) for key in settings) and all(map(_is_plain, values)):
        return words
    return _marked(words[:50], condition)


def _is_plain(value: object) -> bool:
    """Whether a value is a number or a word that no number and no constant is written as."""
    if isinstance(value, str):
        return _is_usual(value) and value[0].isalpha() and "_" not in value and value not in ("none", "true", "false")
    return value is None or isinstance(value, bool) or _is_usual(str(value))


def populations(spoken: Iterable[tuple[str, str]]) -> str:
    """Return what intervals speak for, given as pairs of a scenario and its words; scenarios where these differ."""
    scenarios: dict[str, set[str]] = {}
    for scenario, words in spoken:
        if words:
            scenarios.setdefault(words, set()).add(scenario)
    if len(scenarios) < 2 or len(set().union(*scenarios.values())) < 2:
        return "; ".join(sorted(scenarios))
    return "; ".join(f"{words} ({', '.join(sorted(scenarios[words]))})" for words in sorted(scenarios))
