"""Webdataset shards: tar files in which the files of one sample share a name."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.data.class_names import clean
from bench.data.images.items import MAX_BYTES, ImageItem, ImageSource, SetAside, Unusable
from bench.data.images.listing import SUFFIXES
from bench.data.splits import usual_role
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.names import printable
from bench.utils.texts import require_regular

_KEYS = ("class", "class_name", "label")
_NO_CLASS = "a sample without a class (.cls, .json or .txt)"
_LONGEST_LABEL = 1 << 20
"""Bytes of a file that says a sample's class; captions and boxes may stand in it too."""


def tar_shards(
    shards: Sequence[Path], *, class_names: Sequence[str] | None = None, root: Path | None = None
) -> ImageSource:
    """Return the images of webdataset shards; nothing is unpacked.

    The class of a sample stands in its ``.cls`` file (a number that indexes ``class_names``, or a name), its ``.json``
    file (under ``class``, ``class_name`` or ``label``) or its ``.txt`` file (a name). A text that the ``.json`` file
    gives as a caption, as img2dataset writes it, is no class. A shard's split is its folder below ``root``, or what its
    own name says (``train-0001.tar``).

    Raises
    ------
    BenchError
        For a compressed, damaged or missing shard, a sample whose class number has no name, and shards without classes.
    """
    split_of = _splits(shards, root)
    items: list[ImageItem] = []
    aside: list[SetAside] = []
    for shard in shards:
        for name, parts in _samples(shard):
            images = [member for suffix, member in parts.items() if f".{suffix.rsplit('.', 1)[-1]}" in SUFFIXES]
            place = shard.name if root is None else shard.relative_to(root).as_posix()
            item_id = f"{printable(place)}/{printable(name)}"
            if printable(name) != name:
                aside.append(SetAside(item_id, "its name has characters that are no text"))
                continue
            if len(images) != 1:
                aside.append(SetAside(item_id, f"a sample with {len(images)} images"))
                continue
            try:
                label = _label(shard, parts, class_names)
            except Unusable as reason:
                aside.append(SetAside(item_id, f"its class cannot be read: {reason}"))
                continue
            if label is None:
                aside.append(SetAside(item_id, _NO_CLASS))
                continue
            member = images[0]
            read = partial(_read, shard, member.offset_data, member.size)
            items.append(ImageItem(item_id, label, read, split_of[shard]))
    if not items and any(_NO_CLASS in left.reason for left in aside):
        raise BenchError(
            f"{shards[0]}: no sample has a class (.cls, a .json with class, class_name or label, or .txt); write one, "
            "or give class folders or a table"
        )
    names = tuple(class_names) if class_names is not None else tuple(sorted({item.class_name for item in items}))
    return ImageSource(", ".join(str(shard) for shard in shards), items, names, tuple(aside))


def _splits(shards: Sequence[Path], root: Path | None) -> dict[Path, str]:
    """Return the split of each shard; ``all`` for every one, unless all tell theirs."""
    if root is not None and all(shard.parent != root for shard in shards):
        return {shard: shard.relative_to(root).parts[0] for shard in shards}
    told: dict[Path, str] = {}
    for shard in shards:
        words = [word for word in re.split(r"[^A-Za-z]+", shard.stem) if usual_role(word) is not None]
        if len(words) == 1:
            told[shard] = words[0]
    return told if len(told) == len(shards) else dict.fromkeys(shards, "all")


def _samples(shard: Path) -> Iterator[tuple[str, Mapping[str, tarfile.TarInfo]]]:
    """Yield the files of each sample by ending; a sample's files lie one after the other, as webdataset writes them."""
    try:
        require_regular(shard)
        with tarfile.open(shard, "r:") as archive:
            name: str | None = None
            parts: dict[str, tarfile.TarInfo] = {}
            for member in archive:
                if not member.isfile() or member.issparse():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if name is not None and key != name:
                    yield name, parts
                    parts = {}
                name, parts[suffix.lower()] = key, member
            if name is not None:
                yield name, parts
    except OSError as error:
        raise BenchError(
            f"cannot read {shard}: {error.strerror or one_line(error)}; give the path of a .tar file"
        ) from None
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:  # of damaged headers
        raise BenchError(
            f"{shard} is no readable tar file ({one_line(error)}); shards must be uncompressed .tar files"
        ) from None


def _label(shard: Path, parts: Mapping[str, tarfile.TarInfo], class_names: Sequence[str] | None) -> str | None:
    text = None
    for ending in ("cls", "json", "txt"):
        if ending not in parts:
            continue
        member = parts[ending]
        if member.size > _LONGEST_LABEL:
            raise Unusable(f"{member.size} bytes of it")
        try:
            raw = clean(_read(shard, member.offset_data, member.size).decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise Unusable("it is not UTF-8") from None
        if ending == "json":
            try:
                content = parse_json(raw)
            except ValueError:
                continue
            found = [content[key] for key in _KEYS if key in content] if isinstance(content, dict) else []
            given = found[0] if found else ""
            if not found and isinstance(content, dict) and "caption" in content:
                # The text beside it is that caption.
                break
            raw = clean(str(given)) if isinstance(given, (str, int)) and not isinstance(given, bool) else ""
        if raw:
            text = raw
            break
    if text is None or class_names is None:
        return text
    if text.isascii() and text.isdigit() and len(text) < 10:
        if int(text) >= len(class_names):
            raise BenchError(
                f"{shard}: class {text} has no name, there are {len(class_names)}; give a name for every one"
            )
        return class_names[int(text)]
    if text not in class_names:
        raise BenchError(f"{shard}: class {text!r} is not among the {len(class_names)} class names given")
    return text


def _read(shard: Path, offset: int, size: int) -> bytes:
    if size > MAX_BYTES:
        raise Unusable(f"huge file of {size} bytes, more than {MAX_BYTES}")
    try:
        with shard.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(size)
    except OSError as error:
        raise Unusable(f"unreadable shard: {error.strerror}") from None
    if len(data) != size:
        raise Unusable("truncated shard")
    return data
