"""The page, its tables and figures; in a browser where there is one."""

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

from bench.reports.page.html import _code
from bench.reports.report import build
from tests.statistics.runs import make_run

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    methods = {"knn": 0.5, "mml": 0.8, "<b>odd & name": 0.6}
    make_run(folder / "a", methods, run="a", sessions=2, fidelity="adapted")
    make_run(folder / "b", {"clip": 0.4}, run="b", status="skipped", reason="needs texts & prompts")
    build([folder], folder / "out")
    return folder / "out"


def test_the_page_loads_nothing(report):
    text = (report / "report.html").read_text()
    links = re.findall(r"""(?:src|href|action|srcset)\s*=\s*["']([^"']*)""", text)
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_warnings_come_before_any_number(report):
    text = (report / "report.html").read_text()
    assert 0 < text.index("clip was skipped on made: needs texts &amp; prompts") < text.index("<table")
    assert text.index("adapted, not faithful") < text.index("<table")
    assert "needs texts & prompts" in (report / "report.md").read_text()


def test_commands_are_set_as_code(report):
    page = (report / "report.html").read_text()
    assert "<code>bench list methods</code>" in page
    assert "`" not in re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
    assert str(_code("<b> `x<y`")) == "&lt;b&gt; <code>x&lt;y</code>"


def test_names_are_escaped(report):
    text = (report / "report.html").read_text()
    assert "<b>odd" not in text
    assert "&lt;b&gt;odd &amp; name" in text
    assert r"$<$b$>$odd \& name" in (report / "tables" / "scores.tex").read_text()


def test_every_link_of_the_page_has_a_target(report):
    text = (report / "report.html").read_text()
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_every_figure_has_png_svg_and_csv(report):
    names = {path.stem for path in (report / "figures").iterdir()}
    kinds = {name.rsplit("-", 1)[-1] for name in names}
    assert {"curve", "cost", "disagreement", "classes", "forgetting"} <= kinds
    for name in names:
        assert (report / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (report / "figures" / f"{name}.svg").read_bytes()
        assert len(pd.read_csv(report / "figures" / f"{name}.csv"))


def test_comparisons_csv_agrees_with_the_summary(report):
    found = pd.read_csv(report / "comparisons.csv")
    means = pd.read_csv(report / "summary.csv").query("seed == 'mean'").set_index("method")["accuracy"]
    assert len(found) == 3
    for row in found.itertuples():
        assert row.difference == pytest.approx(means[row.a] - means[row.b], abs=2e-6)
        assert row.low < row.difference < row.high


def browse(tmp_path, page, *options):
    done = subprocess.run(
        [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_tables_sort_and_filter_in_a_browser(report, tmp_path):
    script = """
    const table = document.getElementById("scores-table");
    const column = [...table.tHead.rows[0].cells].findIndex((th) => th.textContent.includes("accuracy"));
    const button = table.tHead.rows[0].cells[column].querySelector("button");
    const shown = () => [...table.tBodies[0].rows].filter((r) => !r.hidden);
    const read = () => shown().map((r) => Number(r.cells[column].dataset.v));
    button.click(); const down = read();
    button.click(); const up = read();
    const input = document.querySelector('input[data-for="scores-table"]');
    input.value = "MML"; input.dispatchEvent(new Event("input"));
    const images = [...document.images].map((i) => { i.loading = "eager"; return i.decode(); });
    const tabs = [...document.querySelectorAll("a[href], button, input, [tabindex='0']")].every((e) => e.tabIndex >= 0);
    Promise.all(images).then(() => { document.title = JSON.stringify({ down, up, left: read().length, tabs,
      sort: table.tHead.rows[0].cells[column].getAttribute("aria-sort"),
      wide: document.documentElement.scrollWidth <= window.innerWidth,
      images: [...document.images].every((i) => i.naturalWidth > 100) }); });
    """
    page = tmp_path / "page.html"
    text = (report / "report.html").read_text().replace("</body>", f"<script>{script}</script></body>")
    page.write_text(text)
    dom = browse(tmp_path, page, "--virtual-time-budget=5000", "--window-size=1200,900", "--dump-dom")
    found = json.loads(re.search(r"<title>(.*?)</title>", dom).group(1).replace("&quot;", '"'))
    assert found["down"] == sorted(found["down"], reverse=True)
    assert found["up"] == found["down"][::-1]
    assert found["left"] == 1
    assert found["sort"] == "ascending"
    assert found["images"]
    assert found["wide"]
    assert found["tabs"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_light_and_dark_are_two_looks(report, tmp_path):
    import matplotlib.image

    shades = []
    for name, options in (("light", ()), ("dark", ("--blink-settings=preferredColorScheme=0",))):
        shot = tmp_path / f"{name}.png"
        browse(tmp_path, report / "report.html", "--window-size=900,700", f"--screenshot={shot}", *options)
        shades.append(matplotlib.image.imread(shot)[..., :3].mean())
    assert shades[0] > 0.8
    assert shades[1] < 0.4


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_long_condition_leaves_the_accuracy_in_sight(tmp_path):
    steps = ["add-class", "add-source", "remove:0.1", "relabel:0.1", "prune:128", "prune-soft", "forget-class:seven"]
    long = {"memory": "support split", "script": steps, "sources": "simulated for images"}
    make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, conditions=({"shots": 1}, long), sessions=1)
    build([tmp_path], tmp_path / "out")
    script = """
    const table = document.getElementById("scores-table");
    const head = [...table.tHead.rows[0].cells].find((th) => th.textContent.includes("accuracy"));
    document.title = JSON.stringify([head.getBoundingClientRect().right, window.innerWidth]);
    """
    page = tmp_path / "page.html"
    text = (tmp_path / "out" / "report.html").read_text().replace("</body>", f"<script>{script}</script></body>")
    page.write_text(text)
    dom = browse(tmp_path, page, "--window-size=1000,900", "--dump-dom")
    right, width = json.loads(re.search(r"<title>(.*?)</title>", dom).group(1))
    assert 0 < right < width


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_every_column_fits_on_paper(report, tmp_path):
    script = """
    document.title = JSON.stringify([...document.querySelectorAll(".scroll, body")].map(
      (e) => e.scrollWidth <= e.clientWidth && getComputedStyle(e).overflowX !== "auto"));
    """
    text = (report / "report.html").read_text()
    assert text.count("@media print") == 1
    page = tmp_path / "page.html"
    page.write_text(
        text.replace("@media print", "@media screen").replace("</body>", f"<script>{script}</script></body>")
    )
    # An A4 page on its side, less its margins, at 96 dots an inch.
    dom = browse(tmp_path, page, "--window-size=1030,700", "--dump-dom")
    fits = json.loads(re.search(r"<title>(.*?)</title>", dom).group(1))
    assert len(fits) > 5
    assert all(fits)


def test_figures_stand_in_the_order_of_their_numbers(tmp_path):
    conditions = tuple({"shots": n} for n in (1, 16, 2))
    make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, conditions=conditions, sessions=1)
    build([tmp_path], tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    places = [text.index(f"figures/incremental-made-shots-{n}-cost.csv") for n in (1, 2, 16)]
    assert places == sorted(places)
    assert "<b>1</b> scenario</li>" in text
    assert "incremental on made, shots 16. Share of queries" in text
