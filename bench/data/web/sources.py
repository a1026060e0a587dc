"""The named sources of ``bench memory build``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.data.images.folder import image_folder
from bench.data.images.items import ImageSource, SetAside
from bench.data.web.image_search import crawl_images
from bench.data.web.sentences import Sentence, harvest_sentences, read_sentences
from bench.data.web.split_sentences import Splitter
from bench.data.web.wikipedia import WikiClient
from bench.utils.errors import BenchError, suggest
from bench.utils.json_text import parse_json
from bench.utils.names import expand
from bench.utils.texts import read_text
from bench.utils.yaml12 import YamlError, parse_yaml


def collect_images(
    wanted: str | None, class_names: Sequence[str], folder: Path, *, per_class: int, allow_private: Collection[str] = ()
) -> tuple[ImageSource | None, list[dict[str, Any]]]:
    """Return the images that an option names, and what is known of each file.

    Parameters
    ----------
    wanted : str or None
        A folder of class folders, ``icrawler:ENGINE``, or ``webvision:FOLDER``; None is no images.
    folder : Path
        Where crawled images are kept, so that a stopped build goes on.
    allow_private : collection of str
        Hosts that may be private, loopback or link-local.
    """
    if wanted is None:
        return None, []
    kind, _, rest = wanted.partition(":")
    if kind == "icrawler":
        # A folder an engine: what one of them found says nothing of another.
        place = folder / rest
        source = image_folder(crawl_images(class_names, rest, place, per_class=per_class, allow_private=allow_private))
        return source, [entry for path in sorted((place / "provenance").glob("*.json")) for entry in _found(path)]
    if kind == "webvision":
        from bench.data.standard import prepare

        found = prepare("webvision", expand(Path(rest)))
        # WebVision's folders are synsets; the memory is found by name.
        items = [replace(item, class_name=found.display[item.class_name]) for item in found.source.items]
        chosen = tuple(item for item in items if item.class_name in set(class_names))
        if not chosen:
            raise BenchError(f"{rest} holds no image of the classes; write their names as WebVision does")
        return ImageSource(found.source.origin, chosen, tuple(class_names)), []
    return image_folder(expand(Path(wanted))), []


def _found(path: Path) -> list[dict[str, Any]]:
    """Return what a search noted of one class."""
    try:
        content = parse_json(read_text(path, "what a search kept"))
    except ValueError:
        content = None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise BenchError(f"{path} is damaged; remove it, and the class is searched again")
    return content


def collect_sentences(
    wanted: str | None,
    class_names: Sequence[str],
    folder: Path,
    *,
    contact: str | None,
    hints: Mapping[str, str] | None = None,
    splitter: Splitter = "rules",
    allow_private: Collection[str] = (),
) -> tuple[list[Sentence], list[SetAside]]:
    """Return the sentences that an option names, and the classes for which there are none.

    Parameters
    ----------
    wanted : str or None
        A folder of ``CLASS.txt`` files, or ``wikipedia``; None collects no sentences.
    contact : str or None
        An address for Wikipedia's operators, which their policy asks for.
    hints : mapping of str to str, optional
        Words that tell which meaning of a class name is wanted, see :func:`read_hints`.
    splitter : {"rules", "pysbd"}
        See :func:`bench.data.web.split_sentences.split_sentences`.
    allow_private : collection of str
        Hosts that may be private, loopback or link-local.
    """
    if wanted is None:
        return [], []
    if wanted != "wikipedia":
        return read_sentences(expand(Path(wanted)), class_names), []
    if not contact:
        raise BenchError("Wikipedia asks every program for an address; give one with --contact you@example.org")
    client = WikiClient(contact, allow_private=allow_private)
    return harvest_sentences(class_names, client, folder, hints=hints, splitter=splitter)


def read_hints(path: Path, class_names: Sequence[str]) -> dict[str, str]:
    """Return the words that disambiguate class names, from a YAML or JSON file: ``crane: bird``.

    A hint joins the search for a name whose article is missing or a disambiguation page.
    """
    text = read_text(path, "a YAML or JSON file of class and hint")
    try:
        content = parse_yaml(text, as_text=True)
    except YamlError as error:
        raise BenchError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(part, str) for pair in content.items() for part in pair):
        raise BenchError(f"{path} must hold one hint a class, such as 'crane: bird'")
    for name in content:
        if name not in class_names:
            raise BenchError(f"{path}: {name!r} is none of the classes{suggest(name, class_names)}")
    return content
