"""Articles through the MediaWiki API, following its etiquette: a contact, a slow rate, patient retries.

The API is described at https://www.mediawiki.org/wiki/API:Main_page, its etiquette at
https://www.mediawiki.org/wiki/API:Etiquette: a user agent with a contact, one request at a time, ``maxlag``, and
waiting as long as ``Retry-After`` says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util import Retry

from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.names import printable, require_no_secret
from bench.utils.version import __version__
from bench.utils.web_reading import OverLimit
from bench.utils.web_session import BoundedSession, Forbidden, Limits, check_address, why

WIKIPEDIA = "https://en.wikipedia.org/w/api.php"
_MAX_REPLY_BYTES = 16 << 20
_MAX_PAUSE_SECONDS = 300.0
_LONGEST = 2000
"""Characters of a title or an address."""
_RETRIED = frozenset({429, 500, 502, 503, 504})
_RETRIED_CODES = frozenset({"maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryError"})


class Unanswered(Exception):  # noqa: N818 - it is a finding about one request
    """Raised when a request brought no usable answer; its text is the reason.

    Attributes
    ----------
    may_pass : bool
        Whether asking again can help.
    pause : float or None
        Seconds that the server asks to wait; None if it does not say.
    """

    def __init__(self, reason: str, *, may_pass: bool = False, pause: float | None = None) -> None:
        super().__init__(reason)
        self.may_pass, self.pause = may_pass, pause


class Unreachable(Unanswered):
    """Raised when there was no answer at all, so that the next request is likely to fail as well."""


class _Patience(Retry):
    """How often to ask again and how long to wait before: one second first, then twice as long each time."""

    def get_backoff_time(self) -> float:
        """Return the seconds before the next attempt (urllib3 itself makes the first one at once)."""
        return float(min(self.backoff_max, self.backoff_factor * 2 ** (len(self.history) - 1)))


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
        Longest wait for the next bytes of an answer.
    reply_seconds : float
        Longest time for a whole answer, redirects included.
    allow_private : collection of str
        Hosts that may be private, loopback or link-local.
    """

    contact: str
    endpoint: str = WIKIPEDIA
    interval_seconds: float = 1.0
    retries: int = 4
    timeout_seconds: float = 20.0
    reply_seconds: float = 60.0
    allow_private: Collection[str] = ()
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _session: requests.Session = field(init=False, repr=False)
    _next: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not self.contact.strip() or any(c in self.contact for c in "\r\n"):
            raise BenchError("the wiki's operators ask for a contact: give an e-mail address or a page of yours")
        try:
            check_address(self.endpoint)
        except Forbidden as error:
            raise BenchError(f"the wiki has {error}; give the address of an api.php") from None
        require_no_secret(self.endpoint, "the wiki", instead="give the address of an api.php alone")
        session = BoundedSession()
        session.limits = Limits(self.reply_seconds, _MAX_REPLY_BYTES, frozenset(self.allow_private))
        self._session = session

    @property
    def user_agent(self) -> str:
        """The name it goes by: tool, version and contact."""
        return f"retrieval-bench/{__version__} ({self.contact}) python-requests"

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
        hits = _dict(reply.get("query")).get("search")
        if not isinstance(hits, list):
            raise Unanswered(f"the answer to a search for {wanted!r} lacks its hits")
        taken = 0
        for title in [hit["title"] for hit in hits if isinstance(hit, dict) and isinstance(hit.get("title"), str)]:
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
        if not pages and query.get("interwiki"):  # the title is one of another wiki
            return None
        page = _dict(pages[0]) if pages else {}
        text = page.get("extract")
        none = any(page.get(word) for word in ("missing", "invalid", "special")) or text == ""
        if none or "disambiguation" in _dict(page.get("pageprops")):
            return None
        revisions = _list(page.get("revisions"))
        revision = _dict(revisions[0]) if revisions else {}
        if not isinstance(text, str) or type(revision.get("revid")) is not int:
            raise Unanswered(f"the answer on {title!r} lacks a text or a revision")
        redirected = found_by == "title" and bool(query.get("redirects"))
        return Article(
            title=str(page.get("title", title))[:_LONGEST],
            text=text,
            url=_web_address(page.get("fullurl")),
            revision=revision["revid"],
            timestamp=str(revision.get("timestamp", ""))[:_LONGEST],
            found_by="redirect" if redirected else found_by,
        )

    def ask(self, parameters: Mapping[str, str | int]) -> dict[str, Any]:
        """Return the reply to one query, repeated while errors may pass."""
        full = {"action": "query", "format": "json", "formatversion": 2, "maxlag": 5, **parameters}
        patience: Retry = _Patience(total=self.retries, backoff_factor=1.0)
        while True:
            self._wait()
            try:
                return self._once(full)
            except Unanswered as failure:
                if not failure.may_pass:
                    raise
                try:
                    patience = patience.increment("GET", self.endpoint, error=failure)
                except MaxRetryError:
                    raise failure from None
                self.sleep(patience.get_backoff_time() if failure.pause is None else failure.pause)

    def _wait(self) -> None:
        now = self.clock()
        if now < self._next:
            self.sleep(self._next - now)
        self._next = max(now, self._next) + self.interval_seconds

    def _once(self, parameters: Mapping[str, str | int]) -> dict[str, Any]:
        headers = {"User-Agent": self.user_agent, "Accept": "application/json"}
        try:
            with self._session.get(
                self.endpoint, params=parameters, headers=headers, timeout=self.timeout_seconds, stream=True
            ) as reply:
                pause = _pause(reply.headers.get("Retry-After"))
                if reply.status_code != 200:
                    may_pass = reply.status_code in _RETRIED
                    raise Unanswered(f"HTTP status {reply.status_code}", may_pass=may_pass, pause=pause)
                raw = reply.content
        except (OSError, ValueError) as error:
            # What requests raises are OSErrors; an address that makes no sense is also a ValueError.
            raise Unreachable(f"no answer: {why(error)}", may_pass=True) from None
        except Forbidden as error:
            raise Unreachable(str(error)) from None
        except OverLimit as error:
            raise Unanswered(str(error)) from None
        try:
            content = parse_json(raw.decode("utf-8"))
            # JSON can hold halves of characters, which no file can.
            json.dumps(content, ensure_ascii=False).encode("utf-8")
        except (ValueError, MemoryError) as error:
            raise Unanswered(f"an answer that is not JSON: {one_line(error)}", may_pass=True, pause=pause) from None
        if not isinstance(content, dict):
            raise Unanswered("an answer that is no object", may_pass=True, pause=pause)
        error_reply = content.get("error")
        if error_reply is not None:
            code = str(_dict(error_reply).get("code", "unknown"))
            reason = f"error {code[:80]}: {str(_dict(error_reply).get('info', ''))[:200]}".rstrip(": ")
            raise Unanswered(printable(reason)[:300], may_pass=code in _RETRIED_CODES, pause=pause)
        return content


def _pause(header: str | None) -> float | None:
    """Return what Retry-After says, in seconds and at most five minutes; None if it says nothing of sense."""
    if header is None:
        return None
    try:
        return min(float(Retry().parse_retry_after(header)), _MAX_PAUSE_SECONDS)
    except (InvalidHeader, ValueError, OverflowError, OSError):
        return None


def _web_address(value: Any) -> str:
    """Return an address that can be shown as a link; empty for anything else."""
    try:
        check_address(str(value))
    except Forbidden:
        return ""
    return str(value)[:_LONGEST]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
