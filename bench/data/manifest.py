"""The manifest of a feature pack, ``pack.yaml``: reading and checking it, without the features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from annotated_types import Gt, Le
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bench.utils.errors import BenchError

FORMAT = 1
MANIFEST = "pack.yaml"


class _Arrays(BaseModel):
    """What a manifest says of one file."""

    file: str
    sha256: str


class _Manifest(BaseModel):
    """The types of what a manifest says; what else it holds is for people."""

    model_config = ConfigDict(strict=True)

    format: int
    dimension: int
    classes: list[Any]
    splits: dict[str, _Arrays]
    roles: dict[str, list[str]]
    prompts: _Arrays | None = None
    texts: _Arrays | None = None
    encoder: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    near: Annotated[float, Gt(0), Le(1)] = 1.0
    class_split: dict[Literal["seen", "validation", "unseen"], list[int]] | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        strangers = [c for part in (self.class_split or {}).values() for c in part if not 0 <= c < len(self.classes)]
        if strangers:
            raise ValueError(f"class_split names class {strangers[0]}, and there are {len(self.classes)} from 0 up")
        return self


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a pack's manifest; one that is damaged, incomplete or newer raises :class:`BenchError`."""
    path = folder / MANIFEST
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise BenchError(
            f"{folder} is no feature pack: it has no readable {MANIFEST}; make one with `bench data import`"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
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
        said = ": ".join(filter(None, [str(path), ".".join(map(str, first["loc"])), first["msg"].lower()]))
        raise BenchError(f"{said}; see docs/feature-packs.md") from None
    return dict(manifest)
