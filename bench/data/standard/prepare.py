"""From a folder as its authors ship it to images with classes and splits, and on to a pack."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.cache.store import FeatureCache
from bench.data.declaration import Declaration, declared
from bench.data.images.items import Caption, ImageSource
from bench.data.images.to_pack import Encoded, EncodeOptions, encode_pack
from bench.data.import_features import distinct
from bench.data.standard.readers import READERS
from bench.utils.errors import BenchError, one_line
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
    captions : sequence of Caption
        Texts about classes that come with the images.
    templates : tuple of str
        Prompts: those that come with the images, or else the field's.
    """

    declaration: Declaration
    source: ImageSource
    display: Mapping[str, str]
    class_split: Mapping[str, Sequence[str]]
    warnings: tuple[str, ...]
    captions: Sequence[Caption] = ()
    templates: tuple[str, ...] = ()


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
    declaration = declared(name)
    root = expand(root)
    folder = root / declaration.folder if (root / declaration.folder).is_dir() else root
    missing = {path: what for path, what in declaration.requires.items() if not _there(folder, path)}
    if missing:
        lacks = "; ".join(f"{path} ({what})" for path, what in missing.items())
        raise BenchError(f"{name}: {folder} lacks {lacks}. {declaration.how_to_get(root)}")
    arguments = {key: value for key, value in declaration.reader.items() if key != "kind"}
    try:
        found = READERS[declaration.reader["kind"]](folder, **arguments)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, csv.Error) as error:
        # Lists and maps of a damaged or other release raise many kinds.
        raise BenchError(
            f"{folder} is not laid out as {name} is shipped ({type(error).__name__}: {one_line(error)}); get its files "
            f"again. {declaration.how_to_get(root)}"
        ) from None
    source = ImageSource(str(folder), found.items, tuple(found.classes))
    warnings: list[str] = []
    if len(source.class_names) != declaration.classes:
        warnings.append(f"{name} has {declaration.classes} classes, {len(source.class_names)} are here")
    shown = distinct([found.display.get(c, c) for c in source.class_names], warnings)
    display = dict(zip(source.class_names, shown, strict=True))
    prompts = found.templates or declaration.templates
    return Prepared(declaration, source, display, found.class_split, tuple(warnings), found.captions, prompts)


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
    """Encode a standard data set into a feature pack; ``options`` may set precision, device, name and the like."""
    found = prepare(name, root)
    about = found.declaration
    base = options or EncodeOptions(encoder=encoder, name=name)
    roles: dict[str, Any] = {role: tuple(splits) for role, splits in about.roles.items()}
    full = replace(
        base,
        encoder=encoder,
        name=base.name or name,
        display=found.display,
        class_split=found.class_split,
        template_strings=found.templates if base.templates == "auto" else (),
        revision=about.revision,
        licence=about.licence,
        citation=about.citation,
        description=about.title,
        captions=tuple(found.captions),
        **roles,
    )
    made = encode_pack(found.source, out, full, cache=cache, progress=progress)
    made.warnings[:0] = found.warnings
    return made
