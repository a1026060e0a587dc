"""The MediaWiki client, against a scripted wiki on loopback."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.data.web import (
    WikiClient,
    harvest_sentences,
    wikipedia,
)
from bench.data.web.wikipedia import Unanswered, Unreachable
from bench.utils.errors import BenchError
from bench.utils.web_reading import OverLimit, read_bounded
from tests.unit.data.scripted_wiki import TEXT, Wiki, client, page, send


def test_an_article_with_its_revision(wiki: tuple[Wiki, str]) -> None:
    scripted, address = wiki
    scripted.pages["Crane (bird)"] = page("Crane (bird)", 7)
    scripted.redirects["crane"] = "Crane (bird)"
    asker, _ = client(address)
    (article,) = asker.articles("crane")
    assert (article.title, article.revision, article.timestamp) == ("Crane (bird)", 7, "2026-01-02T03:04:05Z")
    assert (article.found_by, article.url) == ("redirect", "https://en.wikipedia.org/wiki/Crane_(bird)")
    assert article.text == TEXT
    assert "me@example.org" in scripted.agents[0]
    assert scripted.agents[0].startswith("retrieval-bench/")
    assert {k: scripted.asked[0][k] for k in ("maxlag", "formatversion", "redirects")} == {
        "maxlag": "5", "formatversion": "2", "redirects": "1",
    }  # fmt: skip


def test_disambiguation_and_missing_titles_are_searched_for(wiki: tuple[Wiki, str]) -> None:
    scripted, address = wiki
    scripted.pages["Crane"] = page("Crane", 1, "Crane may refer to:", pageprops={"disambiguation": ""})
    scripted.pages["Crane (machine)"] = page("Crane (machine)", 2)
    scripted.pages["Crane fly"] = page("Crane fly", 3)
    scripted.hits["Crane machine"] = ["Crane", "Gone", "Crane (machine)", "Crane fly"]
    asker, _ = client(address)
    (article,) = asker.articles("Crane", hint="machine")
    assert (article.title, article.found_by) == ("Crane (machine)", "search")
    assert [a.title for a in asker.articles("Crane", hint="machine", limit=2)] == ["Crane (machine)", "Crane fly"]
    assert list(asker.articles("nothing at all")) == []


def garbage(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"<html>we are sorry</html>")


def a_list(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"[1, 2]")


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"query": ')


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def slow(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)
    garbage(handler)


def lagged(handler: BaseHTTPRequestHandler) -> None:
    error = {"error": {"code": "maxlag", "info": "Waiting for a database server: 7 seconds lagged.", "lag": 7}}
    send(handler, json.dumps(error).encode(), Retry_After="5")


def busy(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"too many requests", 429, Retry_After="9")


def broken(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", 503)


@pytest.mark.parametrize("failure", [garbage, a_list, cut, hang_up, slow, lagged, busy, broken])
def test_errors_that_pass_are_waited_for(wiki: tuple[Wiki, str], failure: Callable[[Any], None]) -> None:
    scripted, address = wiki
    scripted.pages["dog"] = page("dog", 1)
    scripted.failures = [failure, failure]
    asker, slept = client(address)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        # A busy machine may be slow without being asked to, so that what is to be answered gets its time.
        asker.timeout_seconds = 0.3 if failure is slow and len(slept) < 2 else 60.0

    asker.sleep, asker.timeout_seconds = sleep, 0.3 if failure is slow else 60.0
    (article,) = asker.articles("dog")
    assert article.revision == 1
    assert len(scripted.asked) == 3
    waits: dict[object, list[float]] = {lagged: [5.0, 5.0], busy: [9.0, 9.0]}
    assert slept == waits.get(failure, [1.0, 2.0])


@pytest.mark.parametrize(
    ("header", "waited"),
    [("9", 9.0), ("100000", 300.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", 1.0), ("-3", 1.0)],
)
def test_a_server_says_how_long_to_wait(wiki: tuple[Wiki, str], header: str, waited: float) -> None:
    scripted, address = wiki
    scripted.pages["dog"] = page("dog", 1)
    scripted.failures = [lambda handler: send(handler, b"", 429, Retry_After=header)]
    asker, slept = client(address)
    list(asker.articles("dog"))
    assert slept == [waited]


def test_a_huge_answer_is_not_read_and_not_asked_for_again(
    wiki: tuple[Wiki, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted, address = wiki
    monkeypatch.setattr(wikipedia, "_MAX_REPLY_BYTES", 100)
    scripted.failures = [lambda handler: send(handler, b" " * 1000)]
    with pytest.raises(Unanswered, match="huge file of more than 100 bytes"):
        list(client(address)[0].articles("dog"))
    assert len(scripted.asked) == 1


def test_a_slow_answer_ends() -> None:
    answer = requests.Response()
    answer.raw = io.BytesIO(b"some bytes")
    with pytest.raises(OverLimit, match="not complete after 0 seconds"):
        read_bounded(answer, 100, 0.0)


def test_errors_that_stay(wiki: tuple[Wiki, str]) -> None:
    scripted, address = wiki
    asker, slept = client(address, retries=2)
    scripted.failures = [garbage] * 3
    with pytest.raises(Unanswered, match="not JSON"):
        list(asker.articles("dog"))
    assert slept == [1.0, 2.0]
    scripted.failures = [lambda handler: send(handler, b"no", 403)]
    with pytest.raises(Unanswered, match="403"):
        list(asker.articles("dog"))
    scripted.failures = [lambda handler: send(handler, b'{"error": {"code": "badvalue", "info": "no such thing"}}')]
    with pytest.raises(Unanswered, match="badvalue: no such thing"):
        list(asker.articles("dog"))
    assert len(scripted.asked) == 5
    nobody, _ = client("http://127.0.0.1:1/api.php", retries=0)
    with pytest.raises(Unreachable, match="no answer"):
        list(nobody.articles("dog"))


@pytest.mark.parametrize(
    "odd",
    [{"query": None}, {"query": {"pages": "x"}}, {"query": {"pages": [3]}}, {"query": {"pages": []}}, {}],
)
def test_strange_replies_are_not_remembered_as_no_article(
    wiki: tuple[Wiki, str], tmp_path: Path, odd: dict[str, Any]
) -> None:
    scripted, address = wiki
    plain = scripted.reply
    scripted.reply = lambda query: odd  # type: ignore[method-assign]
    found, aside = harvest_sentences(["dog"], client(address)[0], tmp_path)
    assert (found, [one.id for one in aside]) == ([], ["dog"])
    assert not list(tmp_path.iterdir())
    scripted.reply = plain  # type: ignore[method-assign]
    scripted.pages["dog"] = page("dog", 1)
    assert harvest_sentences(["dog"], client(address)[0], tmp_path)[0]


@pytest.mark.parametrize("more", [{"extract": ["x"]}, {"revisions": []}, {"revisions": [{"revid": "7"}]}])
def test_an_article_without_text_or_revision_is_no_answer(wiki: tuple[Wiki, str], more: dict[str, Any]) -> None:
    scripted, address = wiki
    scripted.pages["dog"] = page("dog", 1) | more
    with pytest.raises(Unanswered, match="lacks a text or a revision"):
        list(client(address)[0].articles("dog"))


def test_requests_keep_their_distance(wiki: tuple[Wiki, str]) -> None:
    scripted, address = wiki
    scripted.pages |= {name: page(name, 1) for name in "abc"}
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    asker = WikiClient(
        "me@example.org", address, interval_seconds=2.0, allow_private=["127.0.0.1"], sleep=sleep, clock=lambda: now[0]
    )
    for name in "abc":
        list(asker.articles(name))
    assert slept == [2.0, 2.0]


@pytest.mark.parametrize(("contact", "endpoint"), [("", "https://x"), ("a\nb", "https://x"), ("a", "file:///etc")])
def test_wrong_clients(contact: str, endpoint: str) -> None:
    with pytest.raises(BenchError):
        WikiClient(contact, endpoint)
