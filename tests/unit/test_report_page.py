"""The page, its tables and figures; in a browser where there is one."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.reports.answers import groups
from bench.reports.build import build
from bench.reports.estimates import intervals, per_cell_extra
from bench.reports.figures import curves
from bench.reports.load import load
from bench.reports.overall import across
from bench.reports.page import _code
from bench.reports.plots import detailed, front, sweeps
from bench.reports.scores import scores
from bench.reports.style import condition_text, file_name, natural
from bench.reports.summary import over_seeds, per_cell
from bench.reports.tables import Cell, Table, markdown
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


def test_a_swept_condition_gets_a_curve(tmp_path):
    conditions = tuple({"shots": n, "increment": 2} for n in (1, 4, 16))
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, conditions=conditions, sessions=1, per=4)
    records = load([folder]).records
    pictures = list(sweeps(over_seeds(per_cell(records, scores(records), per_cell_extra([])), {})))
    assert [picture.name for picture in pictures] == ["incremental-made-shots-sweep"]
    assert sorted(pictures[0].data["shots"].unique()) == [1, 4, 16]
    assert len(pictures[0].data) == 6


@pytest.mark.parametrize("n", [2, 6])
def test_six_data_sets_get_a_diagram_and_two_are_told_why_not(tmp_path, n):
    sets = tuple("abcdef"[:n])
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.6, "o": 0.9}, datasets=sets, sessions=1, per=4)
    loaded = load([folder])
    found = list(groups(loaded))
    out = across(
        found,
        over_seeds(per_cell(loaded.records, scores(loaded.records), per_cell_extra(found)), intervals(found)),
    )
    diagrams = [picture for picture in out.pictures if "difference" in picture.name]
    overall = out.tables[0]
    assert [row[0].text for row in overall.rows] == ["o", "n", "m"]
    if n == 6:
        assert diagrams[0].data["method"].iloc[0] == "o"
        assert "[" in overall.rows[0][1].text
        assert not out.notes
    else:
        assert not diagrams
        assert "[" not in overall.rows[0][1].text
        assert "no critical-difference diagram: 2 data sets and 3 methods are too few" in out.notes[0]


def test_front_keeps_what_nothing_beats():
    cost = pd.Series([1.0, 2, 3, 3, 1]).to_numpy()
    accuracy = pd.Series([0.5, 0.6, 0.6, 0.9, 0.4]).to_numpy()
    assert front(cost, accuracy).tolist() == [True, True, False, True, False]


def test_markdown_holds_every_row():
    table = Table("t", "T", "50 % of {x}", ("a_b", "n"), ((Cell("x|y", "x"), Cell("1.0", 1.0, True)),))
    assert "| x\\|y | **1.0** |" in markdown(table)
    assert "| --- | ---: |" in markdown(table)


def test_unequal_numbers_of_queries_are_a_span(tmp_path):
    make_run(tmp_path / "a", {"m": 0.5}, run="a", seeds=(0, 1), queries=20)
    for path in (make_run(tmp_path / "b", {"m": 0.5}, run="b", seeds=(2,), queries=10) / "records").iterdir():
        pd.read_parquet(path).assign(queries_fingerprint="others").to_parquet(path)
    build([tmp_path], tmp_path / "out")
    assert re.search(r"\| m \|.*\| 60 to 120 \|", (tmp_path / "out" / "report.md").read_text().replace("*", ""))


def test_long_conditions_give_short_names_that_differ():
    texts = [json.dumps({f"parameter_{i}": i for i in range(20)} | {"last": x}) for x in (1, 2)]
    names = [file_name("s", "d", text, "curve") for text in texts]
    assert names[0] != names[1]
    assert max(map(len, names)) < 100


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


def test_a_curve_runs_over_sessions_where_classes_stay_the_same(tmp_path):
    counts = [[2, 4, 4], [2, 4, 6]]
    for classes, label in zip(counts, ("session", "classes seen so far"), strict=True):
        rows = [("s", "d", "{}", m, 0, f"{m}", t, 0.5, c) for m in "ab" for t, c in enumerate(classes)]
        names = [*("scenario", "dataset", "condition", "method", "seed", "cell", "session", "accuracy", "n_classes")]
        (picture,) = curves(pd.DataFrame(rows, columns=names))
        assert f">{label}</text>".encode() in picture.svg
        assert picture.data["classes_seen"].tolist() == 2 * classes


def test_a_curve_over_edits_has_a_panel_for_old_and_one_for_later_classes(tmp_path):
    edits = ("none", "add-class", "relabel")
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.9}, scenario="lifecycle")
    for path in (folder / "records").iterdir():
        # Two classes come in session 1, and in session 2 the memory of the same four is edited.
        table = pd.read_parquet(path)
        for column in ("classes", "class_total", "class_correct", "n_queries", "n_correct"):
            first, second, _ = table[column].to_list()
            table[column] = [first, second, second]
        table["notes"] = [json.dumps({"edit": edit}) for edit in edits]
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    build([folder], tmp_path / "out")
    (path,) = (tmp_path / "out" / "figures").glob("*curve.csv")
    data = pd.read_csv(path).query("method == 'n'").set_index("session")
    assert data["edit"].tolist() == list(edits)
    records = pd.concat(pd.read_parquet(p) for p in (folder / "records").glob("*-n-*"))
    shares = {}
    for cell, part in records.groupby("cell"):
        rows = part.sort_values("session").to_dict("records")
        right = [dict(zip(r["classes"], r["class_correct"], strict=True)) for r in rows]
        start, later = list(rows[0]["classes"]), [c for c in rows[1]["classes"] if c not in rows[0]["classes"]]
        shares[cell] = [[sum(r[c] for c in group) / 40 for r in right[1:]] for group in (start, later)]
    expected = np.mean(list(shares.values()), axis=0)
    assert data.loc[[1, 2], "start_accuracy"].to_numpy() == pytest.approx(expected[0], abs=1e-6)
    assert data.loc[[1, 2], "later_accuracy"].to_numpy() == pytest.approx(expected[1], abs=1e-6)
    assert data["later_accuracy"].isna().tolist() == [True, False, False]
    assert data["new_accuracy"].isna().tolist() == [False, False, True]
    text = path.with_suffix(".svg").read_text()
    for words in ("classes that came later", "classes of session 0", "1 add-class", "2 relabel"):
        assert f">{words}</text>" in text


def test_a_curve_of_growing_classes_has_old_and_new_in_its_numbers(report):
    (path,) = (report / "figures").glob("*curve.csv")
    data = pd.read_csv(path)
    assert data.query("session == 0")["old_accuracy"].isna().all()
    later = data.query("session == 1")
    assert (later["old_accuracy_low"] <= later["old_accuracy"]).all()
    mixed = (later["old_accuracy"] + later["new_accuracy"]) / 2
    assert later["accuracy"].to_numpy() == pytest.approx(mixed.to_numpy(), abs=1e-6)
    assert "start_accuracy" not in data


def test_conditions_in_words():
    assert (
        condition_text('{"shots": 4, "script": ["add", "remove"], "k": null}') == "shots 4, script add remove, k none"
    )


def test_conditions_sort_by_their_numbers():
    texts = ['{"shots": 16}', '{"shots": 2}', '{"shots": 1.5}']
    assert sorted(texts, key=natural) == texts[::-1]


def test_long_sweeps_get_figures_of_their_own_at_both_ends_only(tmp_path):
    conditions = tuple({"shots": n} for n in (1, 2, 4, 16))
    folder = make_run(tmp_path / "r", {"m": 0.5}, seeds=(0,), conditions=conditions, sessions=1)
    records = load([folder]).records
    kept, notes = detailed(over_seeds(per_cell(records, scores(records), per_cell_extra([])), {}))
    assert kept["condition"].tolist() == ['{"shots": 1}', '{"shots": 16}']
    assert "first and last of 4" in notes[0]
