"""The manifest of a feature pack, ``pack.yaml``: read with limits, and every type in it checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bench.data.memory_entries import Declared, Entry
from bench.data.pack_files import MANIFEST
from bench.utils.errors import BenchError
from bench.utils.names import file_name, printable
from bench.utils.texts import read_text, require_regular
from bench.utils.yaml12 import YamlError, parse_yaml

FORMAT = 1

_TEXTS = ("name", "revision", "licence", "citation", "description", "classes")
"""What a manifest says as text, whatever it looks like: a class ``no``, a revision ``12e45``."""
_LONGEST_MANIFEST = 64 << 20


class _Arrays(BaseModel):
    """What a manifest says of one file."""

    model_config = ConfigDict(strict=True)

    file: str
    sha256: str


class _Manifest(BaseModel):
    """The types of what a manifest says; what else it holds is for people."""

    model_config = ConfigDict(strict=True)

    format: Annotated[int, Ge(1)]
    name: str
    dimension: Annotated[int, Ge(1)]
    classes: Annotated[list[str], MinLen(1)]
    splits: dict[str, _Arrays]
    roles: dict[str, list[str]]
    prompts: _Arrays | None = None
    texts: _Arrays | None = None
    encoder: dict[str, Any] | None = None
    images: str | None = None
    memory: Declared | None = None
    near: Annotated[float, Gt(0), Le(1)] = 0.97
    class_split: dict[Literal["seen", "validation", "unseen"], list[int]] | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        strangers = [c for part in (self.class_split or {}).values() for c in part if not 0 <= c < len(self.classes)]
        if strangers:
            raise ValueError(f"class_split names class {strangers[0]}, and there are {len(self.classes)} from 0 up")
        if "" in (name.strip() for name in self.classes):
            raise ValueError("a class has an empty name")
        return self


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a pack's manifest; one that is damaged, incomplete or newer raises :class:`BenchError`."""
    path = folder / MANIFEST
    try:
        require_regular(path)
    except OSError:
        raise BenchError(
            f"{folder} is no feature pack: it has no readable {MANIFEST}; make one with `bench data import`"
        ) from None
    try:
        manifest = parse_yaml(read_text(path, "another pack", longest=_LONGEST_MANIFEST), text_keys=_TEXTS)
    except YamlError as error:
        raise BenchError(f"{path} is not YAML: {error}") from None
    if not isinstance(manifest, dict):
        raise BenchError(f"{path} holds no names with values; import the pack again")
    missing = {"format", "name", "dimension", "classes", "splits", "roles"} - set(manifest)
    if missing:
        raise BenchError(f"{path} lacks {', '.join(sorted(missing))}; import the pack again")
    if isinstance(manifest["format"], int) and manifest["format"] > FORMAT:
        raise BenchError(f"{path} has format {manifest['format']}, newer than {FORMAT}; update retrieval-bench")
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        said = ": ".join(filter(None, [str(path), printable(".".join(map(str, first["loc"]))), first["msg"].lower()]))
        raise BenchError(f"{_entry_named(first, said, path)}; see docs/feature-packs.md") from None
    file_name(manifest["name"], f"{path}: data set")
    for split in manifest["splits"]:
        file_name(split, f"{path}: split")
    return dict(manifest)


def _entry_named(error: Any, said: str, path: Path) -> str:
    """Return what is wrong with a manifest, with the keys that an entry of a memory can have."""
    place = error["loc"]
    if place[:2] != ("memory", "images") or len(place) < 4 or error["type"] not in ("extra_forbidden", "missing"):
        return said
    what = place[3] if error["type"] == "extra_forbidden" else f"no {place[3]}"
    return f"{path}: memory entry {place[2]} has {what}; it takes {', '.join(Entry.model_fields)}"
