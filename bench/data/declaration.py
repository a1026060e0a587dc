"""Declarations of standard data sets, read without what decodes images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from bench.utils.errors import BenchError, suggest
from bench.utils.texts import read_text
from bench.utils.yaml12 import YamlError, parse_yaml

_TEXTS = ("name", "title", "revision", "licence", "citation", "home", "folder", "templates")


@dataclass(frozen=True)
class Download:
    """A file that may be fetched.

    Attributes
    ----------
    url : str
    algorithm, digest : str
        Its hash: md5, sha256, or ``git`` for that of a file in git.
    into : str
        The folder below the root that it is unpacked in.
    makes : str
        A file or folder that is there when it is unpacked; its own name for one that is not packed.
    """

    url: str
    algorithm: str
    digest: str
    into: str
    makes: str


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The declaration of one standard data set.

    Attributes
    ----------
    name, title, revision, licence, citation : str
    home : str
        Where to get it, in a line.
    folder : str
        What its folder is usually called; looked for below the root that a user gives.
    reader : mapping
        ``kind`` names a function of :mod:`bench.data.standard.readers`, the rest are its arguments.
    requires : mapping of str to str
        Files and folders that must be there, each with what it is and where it comes from.
    templates : tuple of str
        Prompts of the field for this data set.
    roles : mapping of str to list of str
        Splits by role, where their names do not tell.
    classes : int
        How many there are in the whole data set.
    downloads : tuple of Download
        What may be fetched; empty where the licence or the authors want people to get it themselves.
    """

    name: str
    title: str
    revision: str
    licence: str
    citation: str
    home: str
    folder: str
    reader: Mapping[str, Any]
    requires: Mapping[str, str]
    templates: tuple[str, ...]
    classes: int
    roles: Mapping[str, list[str]] = field(default_factory=dict)
    downloads: tuple[Download, ...] = ()

    def how_to_get(self, root: Path) -> str:
        """Return how its files are got, for messages."""
        if not self.downloads:
            return f"Get it from {self.home}"
        return (
            f"Get it from {self.home}; or `bench data prepare {self.name} --root {root} --download` fetches what "
            f"may be fetched (licence: {self.licence})"
        )


def parse(path: Path) -> Declaration:
    """Return the declaration in a YAML file; a missing or unknown key is named."""
    try:
        content = parse_yaml(read_text(path, "the declaration of a data set"), text_keys=_TEXTS)
    except YamlError as error:
        raise BenchError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise BenchError(f"{path} holds no names with values; see the other declarations")
    known = {f.name for f in fields(Declaration)}
    needed = known - {"roles", "downloads"}
    if set(content) - known or needed - set(content):
        wrong = sorted(set(content) - known or needed - set(content))[0]
        raise BenchError(f"{path}: {'unknown' if wrong in content else 'missing'} key {wrong!r}{suggest(wrong, known)}")
    downloads = _downloads(content.get("downloads"), str(path))
    return Declaration(**{**content, "templates": tuple(content["templates"]), "downloads": downloads})


def _downloads(entries: Any, where: str) -> tuple[Download, ...]:
    made = []
    for entry in entries or ():
        if not isinstance(entry, Mapping) or set(entry) != {"url", "md5", "into", "makes"}:
            raise BenchError(f"{where}: a download has url, md5, into and makes")
        made.append(Download(str(entry["url"]), "md5", str(entry["md5"]), str(entry["into"]), str(entry["makes"])))
    return tuple(made)


@cache
def declarations() -> Mapping[str, Declaration]:
    """Return every declared data set by name."""
    found = [parse(path) for path in sorted((Path(__file__).parent / "standard").glob("*.yaml"))]
    return {declaration.name: declaration for declaration in found}


def declared(name: str) -> Declaration:
    """Return the declaration of a name; an unknown one raises :class:`BenchError` and suggests the nearest."""
    known = declarations()
    if name not in known:
        raise BenchError(f"no standard data set is called {name!r}{suggest(name, known)}")
    return known[name]
