"""From a folder as its authors ship it to images with classes and splits, and on to a pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.cache.store import FeatureCache
from bench.data.declaration import Declaration, declarations
from bench.data.images.items import ImageSource
from bench.data.images.to_pack import Encoded, EncodeOptions, encode_pack
from bench.data.import_features import distinct
from bench.data.standard.readers import READERS
from bench.utils.errors import BenchError, suggest
from bench.utils.names import expand


@dataclass(frozen=True, eq=False)
class Prepared:
    """A standard data set found on disk.

    Attributes
    ----------
    display : mapping of str to str
        The name in prompts of each class of the source.
    class_split : mapping of str to sequence of str
        Classes that are ``seen``, ``validation`` and ``unseen``; empty where the field fixed none.
    """

    declaration: Declaration
    source: ImageSource
    display: Mapping[str, str]
    class_split: Mapping[str, Sequence[str]]
    warnings: tuple[str, ...]


def prepare(name: str, root: Path) -> Prepared:
    """Return a standard data set after checking that its files are laid out as its authors ship them.

    Parameters
    ----------
    name : str
        A declared name, see :func:`bench.data.declarations`.
    root : Path
        Its folder, or the folder above under the usual name.

    Raises
    ------
    BenchError
        One line that names everything that is missing and where to get it.
    """
    known = declarations()
    if name not in known:
        raise BenchError(f"no standard data set is called {name!r}{suggest(name, known)}")
    declaration = known[name]
    root = expand(root)
    folder = root / declaration.folder if (root / declaration.folder).is_dir() else root
    missing = {path: what for path, what in declaration.requires.items() if not _there(folder, path)}
    if missing:
        lacks = "; ".join(f"{path} ({what})" for path, what in missing.items())
        raise BenchError(f"{name}: {folder} lacks {lacks}. Get it from {declaration.home}")
    arguments = {key: value for key, value in declaration.reader.items() if key != "kind"}
    found = READERS[declaration.reader["kind"]](folder, **arguments)
    source = ImageSource(str(folder), found.items, tuple(found.classes))
    warnings: list[str] = []
    if len(source.class_names) != declaration.classes:
        warnings.append(f"{name} has {declaration.classes} classes, {len(source.class_names)} are here")
    shown = distinct([found.display.get(c, c) for c in source.class_names], warnings)
    display = dict(zip(source.class_names, shown, strict=True))
    return Prepared(declaration, source, display, found.class_split, tuple(warnings))


def _there(folder: Path, path: str) -> bool:
    """Return whether a path, or one of several joined by ``|``, is there."""
    return any((folder / option).exists() for option in path.split("|"))


def encode_declared(
    name: str,
    root: Path,
    out: Path,
    *,
    encoder: str,
    cache: FeatureCache | None,
    options: EncodeOptions | None = None,
    progress: bool = False,
) -> Encoded:
    """Encode a standard data set into a feature pack; ``options`` may set precision, device and the like."""
    found = prepare(name, root)
    declared = found.declaration
    base = options or EncodeOptions(encoder=encoder, name=name)
    roles: dict[str, Any] = {role: tuple(splits) for role, splits in declared.roles.items()}
    full = replace(
        base,
        encoder=encoder,
        name=name,
        display=found.display,
        class_split=found.class_split,
        template_strings=declared.templates if base.templates == "auto" else (),
        revision=declared.revision,
        licence=declared.licence,
        citation=declared.citation,
        description=declared.title,
        **roles,
    )
    made = encode_pack(found.source, out, full, cache=cache, progress=progress)
    made.warnings[:0] = found.warnings
    return made
