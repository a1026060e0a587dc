"""Images by class name, class by class, so that an interrupted search continues."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from bench.cache.store import content_key
from bench.data.class_names import check_class_names
from bench.data.web.icrawler import Crawl, icrawler
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError
from bench.utils.names import file_name

_GIVE_UP = 3
"""Classes in a row without any image after which the search counts as out of reach."""


def crawl_images(
    class_names: Sequence[str],
    engine: str,
    folder: Path,
    *,
    per_class: int = 32,
    crawl: Crawl | None = None,
    allow_private: Collection[str] = (),
) -> Path:
    """Fetch images by class name into ``FOLDER/images/CLASS/`` and return the folder of class folders.

    ``provenance/CLASS.json`` beside it says for each file its address, time, SHA-256, keyword and engine, and for each
    address that brought no usable image the reason. It is written when a class is done, and a class that has one is
    not asked for again. A class that brought no image has none, so that it is asked for again the next time; what a
    stopped search left behind is fetched anew, since its addresses are lost.

    Parameters
    ----------
    engine : str
        ``google``, ``bing`` or ``flickr``.
    crawl : callable, optional
        Does the fetching; icrawler's crawler of the engine if left out.
    allow_private : collection of str
        Hosts that may be private, loopback or link-local.

    Raises
    ------
    BenchError
        For a class name that cannot be a folder's, what :func:`bench.data.web.icrawler.icrawler` refuses, and a search
        that brings nothing for several classes in a row.
    """
    check_class_names(class_names, "the class list")
    for name in class_names:
        file_name(name, "class", longest=200)
    crawl = crawl or icrawler(engine, allow_private)
    silent = 0
    for name in class_names:
        done = folder / "provenance" / f"{name}.json"
        if done.is_file():
            continue
        begun, place = folder / "unfinished" / name, folder / "images" / name
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        crawled = crawl(name.replace("_", " "), begun, per_class)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        known = {"retrieved": now, "keyword": name, "source": engine}
        if not crawled.addresses:
            silent += 1
            if silent >= _GIVE_UP:
                reason = next(iter(crawled.refused.values()), "no result")
                raise BenchError(
                    f"{engine} brought no image for {silent} classes in a row, the last {name!r} ({reason}); "
                    "check the network and run the same command again, what was found is kept"
                )
            continue
        silent = 0
        entries: list[dict[str, str]] = []
        for path in sorted(begun.iterdir()):
            entries.append(
                {
                    "file": f"{name}/{path.name}",
                    "url": crawled.addresses.get(path.name, ""),
                    "sha256": content_key(path.read_bytes()),
                    **known,
                }
            )
            place.mkdir(parents=True, exist_ok=True)
            path.replace(place / path.name)
        entries += [{"url": address, "reason": reason, **known} for address, reason in crawled.refused.items()]
        write_atomically(done, json.dumps(entries, indent=1, ensure_ascii=False))
    shutil.rmtree(folder / "unfinished", ignore_errors=True)
    if not (folder / "images").is_dir():
        raise BenchError(f"{engine} brought no image for any class; check the network and the class names")
    return folder / "images"
