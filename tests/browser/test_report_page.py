"""The report's page in a real browser, driven as a reader drives it."""

from __future__ import annotations

import base64
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from bench.reports.report import build
from tests.browser.axe import serious
from tests.statistics.runs import make_run


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report with warnings, figures, a long condition, and a method whose name is markup."""
    folder = tmp_path_factory.mktemp("page")
    long = {"memory": "support split", "script": ["add-class", "relabel:0.1", "prune:128", "forget-class:seven"]}
    methods = {"knn": 0.5, "mml": 0.8, "<b>odd & name": 0.6}
    make_run(folder / "a", methods, run="a", sessions=2, conditions=({"shots": 1}, long), fidelity="adapted")
    make_run(folder / "b", {"clip": 0.4}, run="b", status="skipped", reason="needs texts & prompts")
    build([folder], folder / "out")
    return folder / "out" / "report.html"


def show(browser: Any, page: Path, width: int) -> None:
    """Open the page in a viewport of so many pixels, which may be narrower than a window can be."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    # What is pressed is where it will be at once.
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    assert browser.execute_script("return window.innerWidth") == width


def test_the_page_says_nothing_to_the_console_and_asks_for_nothing(browser: Any, page: Path) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what other tests left
    show(browser, page, 1280)
    loaded = browser.execute_async_script(
        """
        const done = arguments[0];
        const images = [...document.images];
        for (const image of images) image.loading = "eager";
        Promise.all(images.map((image) => image.decode())).then(
          () => done(images.map((image) => image.naturalWidth)), (error) => done(String(error)));
        """
    )
    assert len(loaded) > 3
    assert all(width > 100 for width in loaded)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert page.as_uri() in asked, "the browser did not tell what it asked for"
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}


def test_a_request_would_be_seen(browser: Any, page: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text(page.read_text().replace("<body>", '<body><img src="http://127.0.0.1:9/x.png">'))
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    show(browser, other, 1280)
    # The page's own policy forbids it before it leaves.
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_is_no_wider_than_the_screen(browser: Any, page: Path, width: int) -> None:
    show(browser, page, width)
    whole, seen, beyond = browser.execute_script(
        """
        const root = document.documentElement;
        const beyond = (e) => !e.closest(".scroll") && e.getBoundingClientRect().right > root.clientWidth + 0.5;
        return [root.scrollWidth, root.clientWidth, [...document.body.querySelectorAll("*")].filter(beyond).map(
          (e) => e.outerHTML.slice(0, 80))];
        """
    )
    assert beyond == []
    assert whole == seen


@pytest.mark.parametrize("width", [400, 1280])
def test_the_last_column_of_a_table_can_be_scrolled_to(browser: Any, page: Path, width: int) -> None:
    show(browser, page, width)
    box = browser.find_element("css selector", "#scores .scroll")
    browser.execute_script("arguments[0].scrollLeft = 1e6;", box)
    last = browser.execute_script(
        "const r = arguments[0].querySelector('th:last-child').getBoundingClientRect(); return [r.left, r.right];", box
    )
    assert 0 < last[0] < last[1] <= width


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report with every cost measured and eight methods on three data sets."""
    folder = tmp_path_factory.mktemp("full")
    names = ("zero-shot", "knn", "slda", "gda", "mml", "icarl(prototypes=cross-modal)", "linear-probe", "protonet")
    costs = {f"{phase}_flops": 1e9 for phase in ("train", "build", "retrieve", "score")} | {"encoder_flops": 5e9}
    times = {"answer_1_ms": 0.1, "answer_1_p95_ms": 0.2, "answer_256_ms": 9.0, "answer_256_p95_ms": 9.5}
    rates = {name: 0.5 + n / 20 for n, name in enumerate(names)}
    several = {"datasets": ("pets", "flowers", "cars"), "sessions": 2, "seeds": (0, 1), "answers_per_second": 28_000.0}
    make_run(folder / "a", rates, **several, **costs, **times, processor_seconds=0.1)  # type: ignore[arg-type]
    build([folder], folder / "out")
    return folder / "out" / "report.html"


def test_no_table_of_a_full_report_is_wider_than_1280_pixels(browser: Any, full: Path) -> None:
    show(browser, full, 1280)
    wide = browser.execute_script(
        """
        return [...document.querySelectorAll(".scroll")].filter((e) => e.scrollWidth > e.clientWidth)
          .map((e) => [e.getAttribute("aria-label"), e.scrollWidth, e.clientWidth]);
        """
    )
    assert wide == []


def test_the_method_stays_in_sight_on_a_phone(browser: Any, full: Path) -> None:
    show(browser, full, 400)
    box = browser.find_element("css selector", "#scores .scroll")
    browser.execute_script("arguments[0].scrollLeft = 1e6;", box)
    left, edge, above = browser.execute_script(
        """
        const cell = arguments[0].querySelector("tbody td.k");
        const place = cell.getBoundingClientRect();
        cell.scrollIntoView({ block: "center", behavior: "instant" });
        const seen = cell.getBoundingClientRect();
        const top = document.elementFromPoint(seen.left + 4, seen.top + seen.height / 2);
        return [place.left, arguments[0].getBoundingClientRect().left, cell.contains(top)];
        """,
        box,
    )
    assert abs(left - edge) < 3
    assert above


def test_a_full_report_is_printed_on_ten_pages(browser: Any, full: Path) -> None:
    show(browser, full, 1280)
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": False})["data"]
    pages = len(re.findall(rb"/Type\s*/Page[^s]", base64.b64decode(pdf)))
    assert 2 < pages <= 10


def test_the_first_screen_answers_the_question(browser: Any, full: Path) -> None:
    show(browser, full, 1280)
    sentences = [e.text for e in browser.find_elements("css selector", "#answer p.answer")]
    assert len(sentences) == 3
    assert "protonet has the highest mean accuracy" in sentences[0]
    figure = browser.find_element("css selector", "#answer figure img")
    assert 0 < browser.execute_script("return arguments[0].getBoundingClientRect().top", figure) < 900
    first_table = browser.find_element("css selector", "table")
    assert first_table.location["y"] > figure.location["y"]


def column(browser: Any, title: str) -> tuple[Any, list[float]]:
    """Return the head of a column of the scores, and its visible values from top to bottom."""
    heads = browser.find_elements("css selector", "#scores-table thead th")
    (place,) = [n for n, head in enumerate(heads) if head.text.split(" %")[0].strip(" ▲▼").startswith(title)][:1]
    values = browser.execute_script(
        """
        return [...document.getElementById("scores-table").tBodies[0].rows].filter((row) => !row.hidden)
          .map((row) => Number(row.cells[arguments[0]].dataset.v));
        """,
        place,
    )
    return heads[place], values


@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_a_column_sorts_down_and_then_up(browser: Any, page: Path, by: str) -> None:
    show(browser, page, 1280)
    head, before = column(browser, "accuracy")
    button = head.find_element("tag name", "button")

    def press() -> None:
        button.click() if by == "mouse" else button.send_keys("\ue007")  # the key Enter

    press()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(browser, "accuracy")[1] == sorted(before, reverse=True)
    press()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(browser, "accuracy")[1] == sorted(before)
    assert len(set(before)) > 2


def test_all_that_can_be_pressed_is_reached_by_the_keyboard(browser: Any, page: Path) -> None:
    show(browser, page, 1280)
    places = browser.execute_script(
        "return [...document.querySelectorAll('a[href], button, input, [tabindex]')].map((e) => e.tabIndex);"
    )
    assert len(places) > 10
    assert min(places) >= 0


def test_light_and_dark_are_two_looks(browser: Any, page: Path) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        show(browser, page, 900)
        shades[scheme] = matplotlib.image.imread(BytesIO(browser.get_screenshot_as_png()))[..., :3].mean()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert shades["light"] > 0.8
    assert shades["dark"] < 0.4


def test_a_long_condition_leaves_the_accuracy_in_sight(browser: Any, tmp_path: Path) -> None:
    steps = ["add-class", "add-source", "remove:0.1", "relabel:0.1", "prune:128", "prune-soft", "forget-class:seven"]
    long = {"memory": "support split", "script": steps, "sources": "simulated for images"}
    make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, conditions=({"shots": 1}, long), sessions=1)
    build([tmp_path], tmp_path / "out")
    show(browser, tmp_path / "out" / "report.html", 1000)
    head, _ = column(browser, "accuracy")
    assert 0 < browser.execute_script("return arguments[0].getBoundingClientRect().right", head) < 1000


def test_every_column_fits_on_paper(browser: Any, page: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    show(browser, page, 1030)  # an A4 page on its side, less its margins, at 96 dots an inch
    fits = browser.execute_script(
        """
        return [...document.querySelectorAll(".scroll, body")].map(
          (e) => e.scrollWidth <= e.clientWidth && getComputedStyle(e).overflowX !== "auto");
        """
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert len(fits) > 5
    assert all(fits)


def test_the_filter_leaves_the_rows_that_hold_every_word(browser: Any, page: Path) -> None:
    show(browser, page, 1280)
    _, before = column(browser, "accuracy")
    box = browser.find_element("css selector", 'input[data-for="scores-table"]')
    count = browser.find_element("css selector", 'output[data-count="scores-table"]')
    box.send_keys("MML shots")
    assert len(column(browser, "accuracy")[1]) == 1
    assert count.text == f"1 of {len(before)} rows"
    box.clear()
    box.send_keys("x\ue003")  # the key Backspace
    assert column(browser, "accuracy")[1] == before
    assert count.text == ""


def test_every_link_of_the_page_leads_to_its_section(browser: Any, page: Path) -> None:
    show(browser, page, 1280)
    for link in browser.find_elements("css selector", "nav a"):
        link.click()
        target = link.get_attribute("href").rsplit("#", 1)[1]
        top, bottom, most = browser.execute_script(
            """
            const box = document.getElementById(arguments[0]).getBoundingClientRect();
            return [box.top, box.bottom, document.documentElement.scrollHeight - window.innerHeight - window.scrollY];
            """,
            target,
        )
        assert abs(top) < 2 or (most < 2 and bottom > 0), target
        browser.execute_script("window.scrollTo(0, 0)")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report whose names are all that a page might obey."""
    folder = tmp_path_factory.mktemp("hostile")
    names = (
        "<script>window.obeyed = 1</script>",
        '"><img src=x onerror="window.obeyed = 1">',
        "<style>body { display: none }</style>",
        '<meta http-equiv="refresh" content="0; url=http://127.0.0.1:9/">',
        '<a href="javascript:window.obeyed = 1">a</a>',
        "{{ 7 * 7 }}</script><script>window.obeyed = 1</script>",
    )
    classes = {"made": [*names, "$x$", "鶴"][:6]}
    make_run(folder / "run", {n: 0.4 + 0.05 * i for i, n in enumerate(names)}, manifest={"class_names": classes})
    build([folder / "run"], folder / "out")
    return folder / "out" / "report.html"


def test_a_hostile_page_obeys_nothing(browser: Any, hostile: Path) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    show(browser, hostile, 1280)
    assert browser.execute_script("return window.obeyed") is None
    assert browser.current_url == hostile.as_uri()
    assert browser.find_element("css selector", "h1").is_displayed()
    assert "49" not in browser.find_element("css selector", "#scores-table").text.split("{{")[0]
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {hostile.as_uri()}


def test_what_gets_into_the_page_after_all_is_not_obeyed(browser: Any, hostile: Path, tmp_path: Path) -> None:
    """The policy by hash: a script or style that is not the page's own does nothing."""
    other = tmp_path / "other.html"
    let_in = "<script>window.obeyed = 1</script><img src='data:,' onerror='window.obeyed = 1'>"
    let_in += "<style>h1 { display: none }</style><p id='p' style='display: none'>here</p>"
    other.write_text(hostile.read_text().replace("<body>", f"<body>{let_in}"))
    show(browser, other, 1280)
    assert browser.execute_script("return window.obeyed") is None
    assert browser.find_element("css selector", "h1").is_displayed()
    assert browser.find_element("id", "p").is_displayed()
    assert browser.get_log("browser"), "the browser complains of nothing"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("which", ["page", "full"])
def test_axe_finds_nothing_serious(request: pytest.FixtureRequest, browser: Any, which: str, dark: bool) -> None:
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": scheme})
    show(browser, request.getfixturevalue(which), 1280)
    assert serious(browser) == []


def test_axe_sees_what_hinders(browser: Any, page: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text(page.read_text().replace("<h1>", "<button></button><h1>", 1))
    show(browser, other, 1280)
    assert [line.split()[0] for line in serious(browser)] == ["button-name"]
