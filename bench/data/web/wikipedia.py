"""Articles through the MediaWiki API, following its etiquette: a contact, a slow rate, patient retries.

The API is described at https://www.mediawiki.org/wiki/API:Main_page, its etiquette at
https://www.mediawiki.org/wiki/API:Etiquette: a user agent with a contact, one request at a time, ``maxlag``, and
waiting as long as ``Retry-After`` says.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.utils.errors import BenchError
from bench.utils.version import __version__

WIKIPEDIA = "https://en.wikipedia.org/w/api.php"
_MAX_REPLY_BYTES = 16 << 20
_RETRIED = frozenset({429, 500, 502, 503, 504})
_RETRIED_CODES = frozenset({"maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryError"})


class Unanswered(Exception):  # noqa: N818 - it is a finding about one request
    """Raised when a request brought no usable answer; its text is the reason."""


class Unreachable(Unanswered):
    """Raised when there was no answer at all, so that the next request is likely to fail as well."""


@dataclass(frozen=True)
class Article:
    """One revision of an article.

    Attributes
    ----------
    text : str
        Plain text, one paragraph a line.
    revision : int
        Number of the revision; its text can be fetched again by it.
    timestamp : str
        When the revision was made, ISO 8601.
    found_by : str
        ``title``, ``redirect`` or ``search``.
    """

    title: str
    text: str
    url: str
    revision: int
    timestamp: str
    found_by: str


@dataclass(eq=False)
class WikiClient:
    """Asks one wiki, one request at a time.

    Parameters
    ----------
    contact : str
        An address or page by which the operators can reach whoever runs this.
    interval_seconds : float
        Shortest time from one request to the next.
    retries : int
        How often a request is repeated after an error that may pass; waits double from one second.
    timeout_seconds : float
        Longest wait for an answer.
    """

    contact: str
    endpoint: str = WIKIPEDIA
    interval_seconds: float = 1.0
    retries: int = 4
    timeout_seconds: float = 20.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _next: float = field(default=0.0, init=False)
    _pause: float | None = field(default=None, init=False)
    _may_pass: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        if not self.contact.strip() or any(c in self.contact for c in "\r\n"):
            raise BenchError("the wiki's operators ask for a contact: give an e-mail address or a page of yours")
        if urllib.parse.urlsplit(self.endpoint).scheme not in ("http", "https"):
            raise BenchError(f"{self.endpoint!r} is no web address; give the address of an api.php")

    @property
    def user_agent(self) -> str:
        """The name it goes by: tool, version and contact."""
        return f"retrieval-bench/{__version__} ({self.contact}) Python-urllib"

    def articles(self, keyword: str, *, hint: str = "", limit: int = 1) -> Iterator[Article]:
        """Yield the articles on a keyword: of that title, or what a search for it finds.

        Redirects are followed. A title that is missing or a disambiguation page is searched for, together with the
        hint ("bird" for "crane"), and the first ``limit`` hits that are articles are taken.

        Raises
        ------
        Unanswered
            If the wiki gives no usable answer.
        """
        found = self._page(keyword, "title")
        if found is not None:
            yield found
            return
        wanted = f"{keyword} {hint}".strip()
        reply = self.ask({"list": "search", "srsearch": wanted, "srnamespace": 0, "srlimit": 3 * limit})
        hits = _list(_dict(reply.get("query")).get("search"))
        taken = 0
        for title in [str(hit["title"]) for hit in hits if isinstance(hit, dict) and "title" in hit]:
            if taken >= limit:
                return
            article = self._page(title, "search")
            if article is not None:
                taken += 1
                yield article

    def _page(self, title: str, found_by: str) -> Article | None:
        """Return the article of a title; None if it is missing, empty or a disambiguation page."""
        reply = self.ask(
            {
                "titles": title,
                "redirects": 1,
                "prop": "extracts|revisions|pageprops|info",
                "explaintext": 1,
                "exsectionformat": "plain",
                "rvprop": "ids|timestamp",
                "ppprop": "disambiguation",
                "inprop": "url",
            }
        )
        query = _dict(reply.get("query"))
        pages = _list(query.get("pages"))
        page = _dict(pages[0]) if pages else {}
        text = page.get("extract")
        if page.get("missing") or page.get("invalid") or "disambiguation" in _dict(page.get("pageprops")) or not text:
            return None
        revisions = _list(page.get("revisions"))
        revision = _dict(revisions[0]) if revisions else {}
        if not isinstance(text, str) or not isinstance(revision.get("revid"), int):
            raise Unanswered(f"the answer on {title!r} lacks a text or a revision")
        redirected = found_by == "title" and bool(query.get("redirects"))
        return Article(
            title=str(page.get("title", title)),
            text=text,
            url=str(page.get("fullurl", "")),
            revision=revision["revid"],
            timestamp=str(revision.get("timestamp", "")),
            found_by="redirect" if redirected else found_by,
        )

    def ask(self, parameters: Mapping[str, str | int]) -> dict[str, Any]:
        """Return the reply to one query, repeated while errors may pass."""
        full = {"action": "query", "format": "json", "formatversion": 2, "maxlag": 5, **parameters}
        url = f"{self.endpoint}?{urllib.parse.urlencode(full)}"
        failure = Unanswered("no request was made")
        for attempt in range(self.retries + 1):
            if attempt:
                self.sleep(self._pause if self._pause is not None else 2.0 ** (attempt - 1))
            self._pause = None
            self._wait()
            try:
                return self._once(url)
            except Unanswered as error:
                failure = error
                if not self._may_pass:
                    break
        raise failure

    def _wait(self) -> None:
        now = self.clock()
        if now < self._next:
            self.sleep(self._next - now)
        self._next = max(now, self._next) + self.interval_seconds

    def _once(self, url: str) -> dict[str, Any]:
        self._may_pass = True
        request = urllib.request.Request(url, headers={"User-Agent": self.user_agent, "Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as reply:
                self._pause = _seconds(reply.headers.get("Retry-After"))
                raw = reply.read(_MAX_REPLY_BYTES + 1)
        except urllib.error.HTTPError as error:
            self._pause = _seconds(error.headers.get("Retry-After"))
            self._may_pass = error.code in _RETRIED
            raise Unanswered(f"HTTP status {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise Unreachable(f"no answer: {' '.join(str(reason).split()) or type(error).__name__}") from None
        if len(raw) > _MAX_REPLY_BYTES:
            self._may_pass = False
            raise Unanswered(f"an answer of more than {_MAX_REPLY_BYTES} bytes")
        try:
            content = json.loads(raw)
        except ValueError:
            raise Unanswered("an answer that is not JSON") from None
        if not isinstance(content, dict):
            raise Unanswered("an answer that is no object")
        error_reply = content.get("error")
        if error_reply is not None:
            code = str(_dict(error_reply).get("code", "unknown"))
            self._may_pass = code in _RETRIED_CODES
            raise Unanswered(f"error {code}: {_dict(error_reply).get('info', '')}".rstrip(": "))
        return content


def _seconds(header: str | None) -> float | None:
    """Return a Retry-After in seconds, at most five minutes; None if it is not a number."""
    return min(float(header), 300.0) if header and header.strip().isdigit() else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
