"""Sentences for a list of class names, class by class, so that an interrupted search continues."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.cache.store import content_key
from bench.data.class_names import check_class_names
from bench.data.images.items import SetAside
from bench.data.web.split_sentences import Splitter, split_sentences
from bench.data.web.wikipedia import Unanswered, Unreachable, WikiClient
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError
from bench.utils.json_text import parse_json
from bench.utils.names import name_fault
from bench.utils.texts import read_text

_GIVE_UP = 3
"""Classes in a row without any answer after which the wiki counts as out of reach."""


@dataclass(frozen=True)
class Sentence:
    """A sentence and where it comes from.

    Attributes
    ----------
    keyword : str
        The class name it was found under.
    source : str
        ``wikipedia``, or the folder it was read from.
    retrieved : str
        When, ISO 8601 in UTC.
    """

    id: str
    keyword: str
    text: str
    source: str
    title: str
    url: str
    revision: int | None
    revision_time: str
    found_by: str
    retrieved: str
    sha256: str


def harvest_sentences(
    class_names: Sequence[str],
    client: WikiClient,
    folder: Path,
    *,
    per_class: int = 100,
    hints: Mapping[str, str] | None = None,
    splitter: Splitter = "rules",
    advance: Callable[[int], Any] | None = None,
) -> tuple[list[Sentence], list[SetAside]]:
    """Return sentences from the articles on each class, and the classes for which there are none, with the reason.

    One JSON file a class, hint, splitter and count is kept in ``folder``; a class that has one is not asked for again.
    A class that brought no answer has none, so that it is asked for again the next time.

    Raises
    ------
    BenchError
        If several classes in a row bring no answer at all, or a kept file is damaged.
    """
    check_class_names(class_names, "the class list")
    found: list[Sentence] = []
    aside: list[SetAside] = []
    silent = 0
    for name in class_names:
        hint = (hints or {}).get(name, "")
        path = folder / f"{content_key(json.dumps([name, hint, splitter, per_class]))[:16]}.json"
        try:
            sentences = _read(path) if path.exists() else _fetch(name, client, hint, per_class, splitter)
            silent = 0
        except Unanswered as error:
            aside.append(SetAside(name, str(error)))
            silent = silent + 1 if isinstance(error, Unreachable) else 0
            if silent >= _GIVE_UP:
                raise BenchError(
                    f"{client.endpoint} cannot be reached ({error}); check the network and run the same command again, "
                    f"{len(found)} sentences are kept"
                ) from None
            continue
        if not path.exists():
            write_atomically(path, json.dumps([asdict(s) for s in sentences], indent=1, ensure_ascii=False))
        if not sentences:
            aside.append(SetAside(name, "no article was found"))
        found += sentences
        if advance is not None:
            advance(1)
    return found, aside


def _fetch(name: str, client: WikiClient, hint: str, per_class: int, splitter: Splitter) -> list[Sentence]:
    sentences: list[Sentence] = []
    for article in client.articles(name.replace("_", " "), hint=hint):
        for number, text in enumerate(split_sentences(article.text, splitter=splitter)):
            sentences.append(
                Sentence(
                    id=f"wikipedia/{article.revision}/{number}/{content_key(name)[:8]}",
                    keyword=name,
                    text=text,
                    source="wikipedia",
                    title=article.title,
                    url=article.url,
                    revision=article.revision,
                    revision_time=article.timestamp,
                    found_by=article.found_by,
                    retrieved=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    sha256=content_key(text),
                )
            )
    return sentences[:per_class]


def _read(path: Path) -> list[Sentence]:
    try:
        return [Sentence(**entry) for entry in parse_json(read_text(path, "what a search kept"))]
    except (ValueError, TypeError):
        raise BenchError(f"{path} is damaged; remove it, and it is fetched again") from None


def read_sentences(folder: Path, class_names: Sequence[str], *, per_class: int = 100) -> list[Sentence]:
    """Return sentences from ``FOLDER/CLASS.txt``, one a line.

    Raises
    ------
    BenchError
        If the folder has a file for none of the classes.
    """
    found: list[Sentence] = []
    for name in class_names:
        path = folder / f"{name}.txt"
        # A name that cannot be a file's has none, and none outside the folder is read for it.
        if name_fault(name, longest=200) or not path.is_file():
            continue
        lines = read_text(path, "one sentence a line").splitlines()
        texts = list(dict.fromkeys(line.strip() for line in lines))
        found += [
            Sentence(f"{path.name}/{n}", name, text, folder.name, "", "", None, "", "file", "", content_key(text))
            for n, text in enumerate([text for text in texts if text][:per_class])
        ]
    if not found:
        raise BenchError(f"{folder} has no text for any class; name the files CLASS.txt, one sentence a line")
    return found
