"""Image search through the optional package icrawler, with its fetching replaced by one that has limits.

icrawler asks the search engine and reads its pages. Its own downloader takes an answer of any size into memory, drops
what is no image without a word, and is ended by an image that claims too many pixels; the one here keeps the reason
for each address that brought nothing. Its logging setup, which changes the root logger, is left out.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.data.images.decode import decode
from bench.data.images.items import MAX_BYTES, Unusable
from bench.utils.errors import BenchError, suggest
from bench.utils.web_reading import OverLimit, read_bounded
from bench.utils.web_session import BoundedSession, Forbidden, Limits, check_address, why

ENGINES = {"google": "Google", "bing": "Bing", "flickr": "Flickr"}

FETCH_SECONDS = 60.0
"""Longest time for one picture."""

_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "PPM": "ppm"}


@dataclass(eq=False)
class Crawled:
    """The result of an image search: the address of each file by its name, and reasons for failures by address."""

    addresses: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


Crawl = Callable[[str, Path, int], Crawled]
"""Keyword, folder to write into and number of images to what was found."""


def icrawler(engine: str, allow_private: Collection[str] = ()) -> Crawl:
    """Return the crawl of a search engine, which asks private, loopback and link-local addresses only of named hosts.

    Raises
    ------
    BenchError
        For an unknown engine, without icrawler, and for Flickr without a key.
    """
    if engine not in ENGINES:
        raise BenchError(f"unknown image search {engine!r}{suggest(engine, ENGINES)}")
    try:
        builtin: Any = importlib.import_module("icrawler.builtin")
        downloader: Any = importlib.import_module("icrawler").ImageDownloader
    except ImportError:
        raise BenchError(
            "images from a search engine need icrawler; `pip install 'retrieval-bench[web]'`, or give --images a folder"
        ) from None
    if engine == "flickr" and not os.environ.get("FLICKR_APIKEY"):
        raise BenchError("Flickr asks for a key; put yours into the environment variable FLICKR_APIKEY")
    quiet = logging.getLogger(__name__)
    # The addresses that it is told of hold the key.
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())

    class Crawler(getattr(builtin, f"{ENGINES[engine]}ImageCrawler")):  # type: ignore[misc]
        def set_logger(self, log_level: int = logging.INFO) -> None:
            self.logger = quiet

        def set_session(self, headers: dict[str, str] | None = None) -> None:
            super().set_session(headers)
            plain: Any = self.session
            bounded: Any = type("Session", (BoundedSession, type(plain)), {})(self.proxy_pool)
            bounded.headers.update(plain.headers)
            bounded.limits = Limits(FETCH_SECONDS, MAX_BYTES, frozenset(allow_private))
            self.session: Any = bounded

    class Parser(getattr(builtin, f"{ENGINES[engine]}Parser")):  # type: ignore[misc]
        def parse(self, *arguments: Any, **named: Any) -> Iterator[Any]:
            # A page without images gives None, and one of another form raises; either would end the parsing thread.
            try:
                yield from super().parse(*arguments, **named) or ()
            except Exception as error:
                quiet.debug("a result page was not understood: %s", error)

    def crawl(keyword: str, folder: Path, count: int) -> Crawled:
        crawler = Crawler(parser_cls=Parser, downloader_cls=_bounded(downloader), storage={"root_dir": str(folder)})
        for part in (crawler.feeder, crawler.parser, crawler.downloader):
            part.logger = quiet
        # Bing's feeder puts the keyword into the address as it is.
        arguments = (
            {"text": keyword} if engine == "flickr" else {"keyword": quote(keyword) if engine == "bing" else keyword}
        )
        crawler.crawl(**arguments, max_num=count)
        crawled: Crawled = crawler.downloader.crawled
        return crawled

    return crawl


def _bounded(base: Any) -> type[Any]:
    """Return a downloader that keeps usable images of bounded size, and notes what became of each address."""

    class Bounded(base):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.crawled = Crawled()

        def download(
            self, task: dict[str, Any], default_ext: str, timeout: float = 5, max_retry: int = 3, **_: Any
        ) -> bool:
            address = str(task["file_url"])
            try:
                check_address(address)
            except Forbidden:
                return False  # nobody is told of an address that may hold a password
            if address in self.crawled.addresses.values() or self.reach_max_num():
                return False
            try:
                data = fetch(self.session, address, timeout=timeout, attempts=max_retry)
                image = decode(data)
            except Unusable as error:
                self.crawled.refused[address] = str(error)
                return False
            kind = image.format or default_ext
            with self.lock:
                self.fetched_num += 1
                name = f"{self.fetched_num:06d}.{_ENDINGS.get(kind, kind.lower())}"
            self.storage.write(name, data)
            self.crawled.addresses[name] = address
            if self.reach_max_num():
                self.signal.set(reach_max_num=True)
            return True

    return Bounded


def fetch(session: Any, address: str, *, timeout: float, attempts: int) -> bytes:
    """Return the bytes at an address.

    Parameters
    ----------
    session : requests.Session
    timeout : float
        Seconds to wait for the server's next bytes; all of it may take :data:`FETCH_SECONDS`.
    attempts : int
        How often to ask when there is no answer; an answer that is an error is not asked for again.

    Raises
    ------
    Unusable
        If there is none, or one of more than ``MAX_BYTES`` or :data:`FETCH_SECONDS`.
    """
    reason = "no answer"
    for _ in range(attempts):
        try:
            with session.get(address, timeout=timeout, stream=True) as response:
                if response.status_code != 200:
                    raise Unusable(f"HTTP status {response.status_code}")
                return read_bounded(response, MAX_BYTES, FETCH_SECONDS)
        except Unusable:
            raise
        except (OverLimit, Forbidden) as error:
            raise Unusable(str(error)) from None
        except Exception as error:  # requests and urllib3 raise many kinds, for odd addresses as well
            reason = f"no answer: {why(error)}"
    raise Unusable(reason)
