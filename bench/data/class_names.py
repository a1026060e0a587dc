"""Class names as they are read, stored and compared; lists of them from files."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.utils.errors import BenchError, suggest
from bench.utils.json_text import parse_json
from bench.utils.names import shown
from bench.utils.texts import read_text
from bench.utils.yaml12 import YamlError, parse_yaml

LONGEST = 1000
"""Characters of a class's name, enough for one with all its synonyms."""
MOST = 500_000
"""Classes of a list; a manifest of more would be refused by its reader."""


def clean(name: str) -> str:
    """Return a class name as it is stored: composed (NFC), without blanks or a byte-order mark around it.

    ``é`` can be written as one character or as two, and looks the same; a name of macOS's file system is the latter.
    """
    return unicodedata.normalize("NFC", name.strip().strip("\ufeff").strip())


def same_name(name: str) -> str:
    """Return a class name as two of one list are compared: clean, and without regard to case."""
    return unicodedata.normalize("NFC", clean(name).casefold())


def check_class_names(names: Iterable[str], origin: str) -> None:
    """Raise for an empty name, one that is no text, and two that are equal or differ only in case or blanks.

    On a file system that ignores case two such names are one folder, and as keywords or prompts they are one class.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not clean(name):
            raise BenchError(f"{origin}: a class has an empty name; give every class a name")
        _require_text(name, origin)
        other = seen.setdefault(same_name(name), name)
        if other is not name:
            kind = "two classes have the name" if other == name else f"class names {other!r} and"
            end = "" if other == name else " differ only in case"
            if other != name and other.casefold() != name.casefold():
                end = " differ only in blanks or in how accents are written"
            raise BenchError(f"{origin}: {kind} {name!r}{end}; rename one")


def _require_text(name: str, origin: str) -> None:
    # The length first: it bounds what the second question costs, and every record and page that shows the name.
    if len(name) > LONGEST:
        raise BenchError(
            f"{origin}: class name {shown(name)} has {len(name)} characters, more than {LONGEST}; shorten it"
        )
    if not all(character.isprintable() or character == "\u3000" for character in name):
        raise BenchError(f"{origin}: class name {shown(name)} has characters that are no text; rename it")


def read_classes(path: Path, name: str, notes: list[str] | None = None) -> list[str]:
    """Return class names from YAML, JSON or one name a line; a mapping of data sets to lists is looked up by name.

    Names are text, whatever they look like (``no``, ``007``, ``null``), and come :func:`clean`. In a text file lines
    that begin with ``#`` are comments.

    Parameters
    ----------
    notes : list of str, optional
        Receives what was left out or changed, for the user.

    Raises
    ------
    BenchError
        For a file that cannot be read, has no list for the data set, has labels with gaps, or an empty name.
    """
    text = read_text(path, "a YAML, JSON or text file of names")
    said: list[str] = [] if notes is None else notes
    try:
        if path.suffix.lower() == ".json":
            content = parse_json(text)
        elif path.suffix.lower() in (".yaml", ".yml"):
            content = parse_yaml(text, as_text=True)
        else:
            content = _lines(text, path, said)
    except (YamlError, ValueError) as error:
        raise BenchError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    if isinstance(content, dict) and content and all(_label(key) is not None for key in content):
        ordered = {_label(key): value for key, value in content.items()}
        if set(ordered) != set(range(len(content))):
            raise BenchError(f"{path}: labels must run from 0 without gaps")
        content = [ordered[label] for label in range(len(ordered))]
    elif isinstance(content, dict):
        if name not in content:
            raise BenchError(f"{path} has no class list {name!r}{suggest(name, map(str, content))}; set --name")
        content = content[name]
    if not isinstance(content, list):
        raise BenchError(f"{path} holds no list of class names")
    if len(content) > MOST:
        raise BenchError(f"{path} holds {len(content)} class names, more than {MOST}; give a list of classes")
    return _cleaned([_text(entry, label, path) for label, entry in enumerate(content)], path, said)


def _label(key: str) -> int | None:
    sign, digits = key[:1] == "-", key.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        return None
    return -int(digits) if sign else int(digits)


def _text(entry: Any, label: int, path: Path) -> str:
    if isinstance(entry, str):
        return entry
    # JSON has names without quotation marks that are numbers: digits, years.
    if isinstance(entry, int) and not isinstance(entry, bool):
        return str(entry)
    raise BenchError(f"{path}: the name of class {label} is no text but {str(entry)[:40]!r}; put it in quotation marks")


def _lines(text: str, path: Path, notes: list[str]) -> list[str]:
    # Only line ends divide: a name may hold the rarer separators that str.splitlines knows.
    rows = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    names = [row.strip() for row in rows if not row.lstrip().startswith("#")]
    if len(names) < len(rows):
        left = len(rows) - len(names)
        notes.append(f"{path}: {left} {'line' if left == 1 else 'lines'} that begin with # were left out as comments")
    while names and not names[-1]:
        names.pop()
    while names and not names[0]:
        names.pop(0)
    if "" in names:
        raise BenchError(
            f"{path}: there is an empty line before {shown(next(n for n in names[names.index('') :] if n))}, "
            "and each line is the name of a label; remove it or give the class a name"
        )
    return names


def _cleaned(names: Sequence[str], path: Path, notes: list[str]) -> list[str]:
    cleaned = [clean(name) for name in names]
    for label, name in enumerate(cleaned):
        if not name:
            raise BenchError(f"{path}: class {label} has an empty name; give every class a name")
        _require_text(name, str(path))
    changed = [name for name, new in zip(names, cleaned, strict=True) if name != new]
    if changed:
        notes.append(
            f"{path}: {len(changed)} class names were stripped of blanks or had their accents composed, "
            f"e.g. {shown(changed[0])}"
        )
    return cleaned
