"""The page of `bench view` in a real browser, driven by clicks and keys as a reader drives it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.runner.api import run
from tests.browser.axe import serious
from tests.statistics.runs import make_run

for needed in ("starlette", "uvicorn", "selenium.webdriver"):
    pytest.importorskip(needed, reason="pip install 'retrieval-bench[serve]' selenium")

from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from tests.unit.view.serving import viewing  # noqa: E402

VIEWS = ("progress", "leaderboard", "curves", "pair", "ask")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return runs: one on digits that can be asked, one made up with names that are markup, failures and shots."""
    out = tmp_path_factory.mktemp("runs")
    run("incremental", ["knn:k=5", "protonet", "simplecil"], "digits", 2, out=out, device="cpu")
    odd = {"mml": 0.8, "<b>odd & name": 0.6}
    make_run(out / "made", odd, sessions=2, run="made", datasets=("pets",), conditions=({"shots": 1}, {"shots": 4}))
    why = {"status": "failed", "error_type": "ValueError", "reason": "<img src=x onerror=alert(1)>"}
    make_run(out / "failed", {"rac": 0.4}, run="failed", **why)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with viewing([folder], hosts=frozenset({"127.0.0.1"})) as (found, board):
        board.settle()
        yield found


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, address: str) -> Open:
    """Return a function that opens a view at a width, light or dark, and waits until it is there."""

    def show(view: str, width: int = 1280, *, dark: bool = False) -> Any:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": scheme})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get("about:blank")
        browser.get(f"{address}/#{view}")
        ready = {"progress": "progress", "curves": "figure svg", "ask": ".method .answer"}
        until(browser, lambda: browser.find_elements("css selector", ready.get(view.split("?")[0], "tbody tr")))
        return browser

    return show


def until(browser: Any, true: Callable[[], Any], seconds: float = 60) -> Any:
    return WebDriverWait(browser, seconds, poll_frequency=0.05).until(lambda _: true())


def status(browser: Any) -> str:
    return str(browser.find_element("css selector", "[role=status]").text)


def column(browser: Any, place: int) -> list[str]:
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll('tbody tr')].map((r) => r.cells[arguments[0]].innerText.trim())",
            place,
        )
    )


def test_pages_say_nothing_to_the_console_and_ask_their_server_alone(opened: Open, browser: Any, address: str) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what other tests left
    for view in VIEWS:
        opened(view)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert f"{address}/api/leaderboard" in asked
    assert {u for u in asked if not u.startswith((f"{address}/", "data:", "about:"))} == set()


@pytest.mark.parametrize("width", [400, 1280, 1920])
@pytest.mark.parametrize("view", VIEWS)
def test_no_view_is_wider_than_the_screen(opened: Open, view: str, width: int) -> None:
    browser = opened(view, width)
    whole, seen = browser.execute_script("const r = document.documentElement; return [r.scrollWidth, r.clientWidth];")
    assert whole == seen


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious(opened: Open, view: str, dark: bool) -> None:
    browser = opened(view, dark=dark)
    for details in browser.find_elements("css selector", "details:not([open]) > summary"):
        details.click()
    assert serious(browser) == []


def test_names_that_are_markup_stay_text(opened: Open) -> None:
    browser = opened("progress")
    assert "<img src=x onerror=alert(1)>" in browser.find_element("id", "main").text
    assert browser.find_elements("css selector", "main img") == []
    assert "<b>odd & name" in column(opened("leaderboard?dataset=pets"), 0)


def test_the_leaderboard_is_filtered_and_sorted(opened: Open) -> None:
    browser = opened("leaderboard")
    assert len(column(browser, 0)) == 3 + 4
    Select(browser.find_element("id", "f-dataset")).select_by_visible_text("pets")
    until(browser, lambda: len(column(browser, 0)) == 4)
    Select(browser.find_element("id", "f-condition")).select_by_visible_text("shots 4")
    until(browser, lambda: len(column(browser, 0)) == 2)
    assert "condition=" in browser.current_url, "the address does not keep the filters"
    browser.refresh()
    until(browser, lambda: len(column(browser, 0)) == 2)
    browser.find_element("id", "f-method").send_keys("mml")
    until(browser, lambda: column(browser, 0) == ["mml"])
    browser = opened("leaderboard?dataset=digits")
    head = next(h for h in browser.find_elements("css selector", "thead th") if h.text.startswith("forgetting"))
    place = browser.find_elements("css selector", "thead th").index(head)
    button = head.find_element("css selector", "button")
    for expected in ("ascending", "descending"):
        button.send_keys(Keys.ENTER)
        until(browser, lambda expected=expected: head.get_attribute("aria-sort") == expected)
        shown = [float(re.split(r"[\s†]", text)[0]) for text in column(browser, place)]
        assert shown == sorted(shown, reverse=expected == "descending")


def test_numbers_are_rounded_as_the_report_rounds_them(opened: Open) -> None:
    values = [n / 8 for n in range(801)] + [n / 10 + 0.05 for n in range(1000)]
    found = opened("leaderboard").execute_async_script(
        "const done = arguments[1];"
        "import('./parts.js').then((m) => done(arguments[0].map(m.decimal)), (e) => done(String(e)));",
        values,
    )
    assert found == [f"{value:.1f}" for value in values]


def test_a_method_leads_to_its_queries_and_a_query_to_its_answers(opened: Open) -> None:
    browser = opened("leaderboard?dataset=digits")
    browser.find_element("partial link text", "protonet").click()
    until(browser, lambda: "#pair" in browser.current_url and browser.find_elements("css selector", "img.picture"))
    assert browser.switch_to.active_element.text == "Side by side", "who follows a link by ear is left behind"
    assert Select(browser.find_element("id", "p-a")).first_selected_option.text == "protonet"
    which = Select(browser.find_element("id", "p-which"))
    which.select_by_visible_text(next(o.text for o in which.options if o.text.startswith("both wrong")))
    until(browser, lambda: {text[0] for text in column(browser, 3) + column(browser, 4)} == {"✗"})
    query = column(browser, 1)[0]
    browser.find_element("partial link text", query).click()
    until(browser, lambda: browser.find_elements("css selector", ".method .answer"))
    assert browser.find_element("id", "a-query").get_attribute("value") == query
    assert browser.find_element("css selector", ".query img").get_attribute("alt").startswith("the query")


def answers(browser: Any) -> dict[str, str]:
    found = browser.execute_script(
        """return [...document.querySelectorAll(".method")].map((m) => [m.getAttribute("aria-label"),
          m.querySelector(".answer")?.innerText ?? ""]);"""
    )
    return dict(found)


def test_an_item_left_out_by_a_click_changes_answers_and_back(opened: Open) -> None:
    browser = opened("ask")
    until(browser, lambda: "3 methods answered" in status(browser))
    before = answers(browser)
    assert set(before) == {"knn(k=5)", "protonet", "simplecil"}
    near = browser.find_element("css selector", "[aria-label='knn(k=5)'] .near")
    item = near.find_element("css selector", ".name").text
    near.find_element("css selector", "button").click()
    until(browser, lambda: "of 3 answers changed" in status(browser))
    for text in answers(browser).values():
        assert re.search("stays|changed", text)
    edits = browser.find_element("css selector", ".edits")
    assert f"without {item}" in edits.text
    out = browser.find_element("css selector", "[aria-label='knn(k=5)'] .near.out")
    assert out.find_element("css selector", ".name").text == item
    assert out.find_element("css selector", "button").get_attribute("aria-pressed") == "true"
    edits.find_element("xpath", ".//button[text()='Undo all']").click()
    until(browser, lambda: answers(browser) == before)


def test_an_item_relabelled_by_keys_is_found_under_its_new_class(opened: Open) -> None:
    browser = opened("ask")
    until(browser, lambda: "3 methods answered" in status(browser))
    near = browser.find_element("css selector", "[aria-label='knn(k=5)'] .near")
    item, label = (near.find_element("css selector", f".{part}").text for part in ("name", "class"))
    other = "zero" if label != "zero" else "one"
    choice = near.find_element("css selector", "select")
    assert choice.get_attribute("aria-label") == f"Relabel {item}"
    Select(choice).select_by_visible_text(other)
    until(browser, lambda: "of 3 answers changed" in status(browser))
    assert f"{item} as {other}" in browser.find_element("css selector", ".edits").text
    text = browser.find_element("css selector", "[aria-label='knn(k=5)'] .near .class").text
    assert text.split()[-1] == other


def test_removals_that_change_an_answer_are_found_and_made(opened: Open) -> None:
    browser = opened("ask")
    until(browser, lambda: "3 methods answered" in status(browser))
    box = browser.find_element("css selector", "[aria-label='knn(k=5)'] .removals")
    box.find_element("css selector", "button").click()
    until(browser, lambda: "asked." in box.text)
    assert "Certified for the memory as it was: it takes" in box.text
    box.find_element("xpath", ".//button[starts-with(text(), 'Leave')]").click()
    until(browser, lambda: "changed" in answers(browser)["knn(k=5)"])


def test_everything_is_reached_by_keys(opened: Open) -> None:
    browser = opened("ask")
    until(browser, lambda: "3 methods answered" in status(browser))
    browser.execute_script("document.activeElement.blur()")
    seen = []
    for _ in range(60):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        shown = browser.execute_script(
            """const e = document.activeElement, s = getComputedStyle(e);
            return [e.tagName, e.getAttribute("aria-label") || e.innerText || e.id, s.outlineStyle !== "none"];"""
        )
        if shown[0] == "BODY":
            break
        seen.append(shown)
    assert seen[0][:2] == ["A", "Skip to the view"]
    named = {name for _, name, _ in seen}
    assert {"a-query", "Ask", "knn(k=5): which removals would change this answer?"} <= named
    assert any(str(name).startswith("Leave out digit/") for name in named)
    assert all(outlined for tag, _, outlined in seen if tag in ("A", "BUTTON"))


def test_a_run_removed_while_it_is_viewed_is_said_on_the_page(browser: Any, tmp_path: Path) -> None:
    made = make_run(tmp_path / "gone", {"knn": 0.5, "mml": 0.8})
    with viewing([tmp_path]) as (address, board):
        board.settle()
        browser.get(f"{address}/#leaderboard")
        until(browser, lambda: len(column(browser, 0)) == 2)
        make_run(made, {"gda": 0.7})
        until(browser, lambda: len(column(browser, 0)) == 3)
        shutil.rmtree(made)
        until(browser, lambda: "the run gone is gone" in browser.find_element("css selector", "body").text)
    until(browser, lambda: "does not answer" in browser.find_element("css selector", "[role=alert]").text)


def test_the_token_is_asked_for(browser: Any, tmp_path: Path) -> None:
    make_run(tmp_path / "a", {"knn": 0.5})
    with viewing([tmp_path], token="0123456789abcdef") as (address, board):
        board.settle()
        browser.get(address)
        until(browser, lambda: browser.find_elements("id", "token"))
        browser.find_element("id", "token").send_keys("0123456789abcdef", Keys.ENTER)
        until(browser, lambda: column(browser, 0) == ["knn"])
