"""YAML as its version 1.2 reads it, with limits: the one reader of manifests, class lists and parameters.

PyYAML reads YAML 1.1, in which ``no`` is false, ``010`` is eight, ``1:30`` is ninety and ``1e-3`` is text. Here the
core schema of YAML 1.2 decides (https://yaml.org/spec/1.2.2/#103-core-schema): they are text, ten, text and a number.
Only PyYAML's events are used, libyaml's where it is built in. Values are made from them one by one, so that a limit is
met before anything is built: nested a million deep, or aliases that multiply to more than memory holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 64
"""Levels of lists and mappings within one another."""
MAX_NODES = 1_000_000
"""Values after all aliases are replaced by what they stand for."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = {".nan", ".NaN", ".NAN"}
_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}


class YamlError(ValueError):
    """A text that is no YAML, or YAML that is refused; its message is one line."""


class YamlSyntaxError(YamlError):
    """A text that is no YAML."""


def scalar(text: str) -> Any:
    """Return the value of a plain scalar: None, a bool, an int, a float, or the text itself.

    Raises
    ------
    YamlError
        For a number beyond the largest float, and for one of thousands of digits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text in _NAN:
        return math.nan
    if found := _INFINITE.fullmatch(text):
        return -math.inf if found[1] == "-" else math.inf
    try:
        if _INT.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
    except ValueError:
        raise YamlError(f"a number of {len(text)} digits is too long") from None
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise YamlError(f"{text[:40]} is beyond the largest number")
        return number
    return text


@dataclass(eq=False)
class _Open:
    """A list or mapping that is being read."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    plain_text: bool
    nodes: int = 1
    key: str | None = None
    text_next: bool = False


@dataclass(eq=False)
class _Builder:
    """Makes values of events. ``text_keys`` are keys of the outermost mapping below which scalars stay text."""

    text: bool
    text_keys: Collection[str]
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    result: Any = None
    documents: int = 0
    nodes: int = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._place(self._scalar(event), 1, event.anchor, event)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            self._open(event)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            done = self.stack.pop()
            self._place(done.value, done.nodes, done.anchor, event)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise YamlError(f"alias *{event.anchor} stands for nothing, or for what it lies in{_where(event)}")
            value, nodes = self.anchors[event.anchor]
            self._place(value, nodes, None, event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise YamlError(f"there is more than one document{_where(event)}")

    def _open(self, event: Any) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise YamlError(f"nested more than {MAX_DEPTH} levels deep{_where(event)}")
        if event.tag is not None and event.tag not in ("!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            raise YamlError(f"the tag {event.tag} is not known{_where(event)}")
        if self._awaits_key():
            raise YamlError(f"a key must be one word or text{_where(event)}")
        value: list[Any] | dict[str, Any] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self.stack.append(_Open(value, event.anchor, self._as_text()))

    def _awaits_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def _as_text(self) -> bool:
        return self.text or bool(self.stack and (self.stack[-1].plain_text or self.stack[-1].text_next))

    def _scalar(self, event: Any) -> Any:
        plain = event.implicit[0] and event.style in (None, "")
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise YamlError(f"the tag {event.tag} is not known{_where(event)}")
        if not plain or event.tag is not None or self._awaits_key() or self._as_text():
            return event.value
        try:
            return scalar(event.value)
        except YamlError as error:
            raise YamlError(f"{error}{_where(event)}") from None

    def _place(self, value: Any, nodes: int, anchor: str | None, event: Any) -> None:
        # Counted with what the aliases in it stand for: so many values a reader of the result can meet.
        if anchor is not None:
            self.anchors[anchor] = (value, nodes)
        if not self.stack:
            self.result = value
            return
        top = self.stack[-1]
        top.nodes += nodes
        if top.nodes > MAX_NODES:
            raise YamlError(f"more than {MAX_NODES} values, aliases counted as what they stand for")
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            if not isinstance(value, str):
                raise YamlError(f"a key must be one word or text{_where(event)}")
            if value in top.value:
                raise YamlError(f"key {value[:60]!r} is given twice{_where(event)}")
            top.key = value
            top.text_next = len(self.stack) == 1 and value in self.text_keys
        else:
            top.value[top.key] = value
            top.key, top.text_next = None, False


def _where(event: Any) -> str:
    return f" (line {event.start_mark.line + 1})"


def parse_yaml(text: str, *, as_text: bool = False, text_keys: Collection[str] = ()) -> Any:
    """Return the value of a YAML text: None, bool, int, float, str, and lists and dicts of them.

    Keys are text, whatever they look like: ``no: 1`` has the key ``"no"``.

    Parameters
    ----------
    as_text : bool
        Read every scalar as text, as suits a list of names: ``[no, 007, null]`` are three names.
    text_keys : collection of str
        Keys of the outermost mapping whose values, and all that lies in them, are text.

    Raises
    ------
    YamlSyntaxError
        For what is no YAML.
    YamlError
        For a key given twice, a tag, several documents, and what exceeds :data:`MAX_DEPTH` or :data:`MAX_NODES`.
    """
    builder = _Builder(as_text, text_keys)
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.YAMLError as error:
        raise YamlSyntaxError(" ".join(str(error).split())) from None
    except (UnicodeError, RecursionError) as error:
        raise YamlSyntaxError(f"{type(error).__name__}: {' '.join(str(error).split())}") from None
    return builder.result


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=_LOADER)


class _Dumper(yaml.SafeDumper):
    """Puts text into quotation marks that YAML 1.2 or 1.1 would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        same = scalar(text) == text
    except YamlError:
        same = False
    # Escaped, for PyYAML's other styles fold a next-line character into a blank.
    style = '"' if not text.isprintable() else None if same else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted)


def dump_yaml(content: Mapping[str, Any]) -> str:
    """Return plain values as YAML that :func:`parse_yaml` gives back, and readers of YAML 1.1 as well."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
