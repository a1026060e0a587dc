"""The folder of a classifier: ``classifier.yaml``, its arrays, and its card.

``classifier.yaml`` is written last and names the file of the arrays, so that a reader meets the old classifier or the
new one, never half. It carries a hash of itself and the root of the arrays' tree of hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.classifier.arrays import is_ours, read_arrays, write_arrays
from bench.classifier.calibration import Calibration
from bench.classifier.model import Model, known_method, trained_weights, with_weights
from bench.classifier.reference import EncoderReference
from bench.core.task import Task
from bench.utils.atomic import is_temporary, sweep, write_atomically
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.names import expand, name_fault, shown
from bench.utils.recipe_fields import defaults
from bench.utils.texts import read_text
from bench.utils.version import __version__
from bench.utils.yaml12 import YamlError, dump_yaml, parse_yaml

MANIFEST = "classifier.yaml"
CARD = "README.md"
ONNX = "model.onnx"
FORMAT = 1
"""Of the folder; raised whenever a reader of the one before would read it wrongly."""
_ARRAYS = "arrays"


@dataclass(frozen=True, eq=False)
class Stored:
    """What the file of arrays holds."""

    state: Any
    weights: Any
    task: Task


class _Arrays(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file: str
    tree: str
    bytes: int


class _Method(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    label: str
    parameters: dict[str, Any]


class _Encoder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    space: str
    weights: str
    precision: Literal["fp32", "fp16", "bf16"]
    projected: bool
    described: dict[str, Any]
    templates: tuple[str, ...]


class _Calibration(BaseModel):
    model_config = ConfigDict(extra="forbid")
    temperature: float
    images: int
    correct: int
    curve: tuple[tuple[float, int, int], ...]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: int
    version: str
    method: _Method
    classes: list[str]
    dimension: int
    seed: int
    hold_out: float
    reject: float
    items_kept: bool
    encoder: _Encoder
    calibration: _Calibration
    about: dict[str, Any]
    log: list[dict[str, Any]]
    arrays: _Arrays
    checksum: str


def write_folder(model: Model, folder: Path, *, reject: float, card: str, onnx: bytes | None = None) -> None:
    """Write a model and its card into a folder, and its ONNX model if there is one, over a classifier that is there.

    Raises
    ------
    BenchError
        If the folder holds something else, or cannot be written to.
    """
    before = require_free(folder)
    folder = expand(folder)
    file = next(name for name in _names() if name != before)
    task = model.task if model.items_kept else without_items(model.task)
    root = write_arrays(folder / file, Stored(model.state, trained_weights(model.method), task))
    content = {
        "format": FORMAT,
        "version": __version__,
        "method": {"name": model.method.name, "label": model.label, "parameters": _plain(defaults(model.method))},
        "classes": list(model.names),
        "dimension": model.dimension,
        "seed": model.seed,
        "hold_out": model.share,
        "reject": reject,
        "items_kept": model.items_kept,
        "encoder": _plain(asdict(model.reference)),
        "calibration": _plain(asdict(model.calibration)),
        "about": _plain(dict(model.about)),
        "log": _plain([dict(edit) for edit in model.log]),
        "arrays": {"file": file, "tree": root, "bytes": (folder / file).stat().st_size},
    }
    # The card is for people: no reader of the folder needs it, and it may be edited.
    write_atomically(folder / CARD, card)
    write_atomically(folder / MANIFEST, dump_yaml({**content, "checksum": digest(content)}))
    if onnx is not None:
        write_atomically(folder / ONNX, onnx)
    else:
        # That of the classifier before.
        (folder / ONNX).unlink(missing_ok=True)
    sweep(folder)
    # Of the names that are written here alone: what another's manifest names may lie outside the folder.
    if before in _names() and before != file:
        # A system that keeps mapped files from being removed leaves it to the next writer.
        with suppress(OSError):
            (folder / str(before)).unlink()


def require_free(folder: Path) -> str | None:
    """Return the file of arrays of the classifier in a folder; None if there is no folder, or nothing in it.

    Raises
    ------
    BenchError
        If it holds something else.
    """
    folder = expand(folder)
    before = _arrays_of(folder)
    if before is None and folder.exists() and not (folder.is_dir() and _only_begun(folder)):
        raise BenchError(f"{folder} is there and is no classifier; choose an empty folder or a new name")
    return before


def _only_begun(folder: Path) -> bool:
    """Return whether a folder is empty, or holds what a writer of this module that was killed had written."""
    own = {name for name in _names() if is_ours(folder / name)}
    begun = {*own, CARD} if own else set()
    return all(one.name in begun or is_temporary(one.name) for one in folder.iterdir())


def read_folder(folder: Path) -> tuple[Model, float]:
    """Return the model of a folder, its arrays mapped into memory, and the confidence below which it says "none".

    Raises
    ------
    BenchError
        If there is no classifier, it was changed, or a newer version made it.
    """
    folder = expand(folder)
    manifest = _manifest(folder)
    method = known_method(manifest.method.name, manifest.method.parameters)
    file = manifest.arrays.file
    if name_fault(file):
        raise BenchError(f"{folder / MANIFEST}: file {shown(file)} lies outside the folder; fit the classifier again")
    package = type(method).__module__.partition(".")[0]
    stored = read_arrays(folder / file, manifest.arrays.tree, {"bench", "methods", package})
    if not isinstance(stored, Stored) or not isinstance(stored.task, Task):
        raise BenchError(f"{folder / file} holds no classifier; fit it again")
    model = Model(
        label=manifest.method.label,
        method=method if stored.weights is None else with_weights(method, stored.weights),
        state=stored.state,
        task=stored.task,
        reference=EncoderReference(**dict(manifest.encoder)),
        calibration=Calibration(**dict(manifest.calibration)),
        seed=manifest.seed,
        share=manifest.hold_out,
        items_kept=manifest.items_kept,
        about=manifest.about,
        log=tuple(manifest.log),
    )
    if list(model.names) != manifest.classes or model.dimension != manifest.dimension:
        raise BenchError(f"{folder / MANIFEST} does not describe {file}; fit the classifier again")
    return model, manifest.reject


def without_items(task: Task) -> Task:
    """Return a task that has its classes and their texts, and no items."""
    none = task.memory.emptied()
    return replace(task, support=task.support.emptied(), memory=none, prototype_memory=None)


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise BenchError(f"{shown(str(folder))} is no classifier: it has no {MANIFEST}; `bench fit --out` makes one")
    again = "fit the classifier again"
    try:
        content = parse_yaml(read_text(path, "the folder of a classifier"))
    except YamlError as error:
        raise BenchError(f"{path} was changed or is damaged: {error}; {again}") from None
    made = content.get("format") if isinstance(content, dict) else None
    if isinstance(made, int) and made > FORMAT:
        raise BenchError(
            f"{path} has format {made}, made by version {content.get('version')}, and this version ({__version__}) "
            f"reads up to {FORMAT}; install a newer retrieval-bench"
        )
    try:
        manifest = _Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its content"
        raise BenchError(f"{path} was changed or is damaged: {where}: {first['msg'].lower()}; {again}") from None
    if digest({key: value for key, value in content.items() if key != "checksum"}) != manifest.checksum:
        raise BenchError(f"{path} was changed since it was written (its hash differs); {again}")
    return manifest


def _arrays_of(folder: Path) -> str | None:
    """Return the arrays' file of the classifier in a folder, which may be one that cannot be used; None without one."""
    try:
        content = parse_yaml(read_text(folder / MANIFEST, "a classifier"))
        return str(content["arrays"]["file"])
    except (BenchError, YamlError, KeyError, TypeError):
        return _ARRAYS if (folder / MANIFEST).is_file() else None


def _names() -> tuple[str, ...]:
    return (f"{_ARRAYS}.safetensors", f"{_ARRAYS}.2.safetensors")


def _plain(value: Any) -> Any:
    """Return a value as YAML holds it: tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
