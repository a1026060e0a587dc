"""The report's audit: accuracy with and without the queries that have a near-duplicate; class names in figures."""

import pandas as pd
import pytest

from bench.reports.metrics.near_duplicates import near_duplicates, warnings
from bench.reports.report import build
from bench.reports.sections.near_duplicates import table
from tests.statistics.runs import make_run

AUDITED = ["n_near_duplicates", "n_near_duplicates_correct"]


def records(rows):
    """Records of one method, a row a (cell, seed, session, n, right, near, near right)."""
    names = ["cell", "seed", "session", "n_queries", "n_correct", *AUDITED]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(scenario="s", dataset="d", condition='{"shots": 4}', method="m")


def test_by_hand_over_two_seeds_and_the_last_session_alone():
    found = near_duplicates(
        records([("a", 0, 0, 10, 1, 9, 1), ("a", 0, 1, 100, 60, 20, 18), ("b", 1, 1, 100, 70, 20, 18)]), set()
    ).iloc[0]
    assert found["seeds"] == 2
    assert found["n_near_duplicates"] == 20
    assert found["accuracy"] == pytest.approx(0.65)
    assert found["accuracy_without"] == pytest.approx((42 / 80 + 52 / 80) / 2)
    assert found["difference"] == pytest.approx(0.65 - 47 / 80)


def test_episodes_count_all_of_their_sessions():
    rows = [("a", 0, 0, 10, 5, 2, 2), ("a", 0, 1, 10, 7, 0, 0)]
    found = near_duplicates(records(rows), {"a"}).iloc[0]
    assert (found["n_queries"], found["n_near_duplicates"]) == (20, 2)
    assert found["accuracy_without"] == pytest.approx(10 / 18)


def test_what_was_not_audited_is_left_out_and_no_query_left_is_null():
    rows = [("a", 0, 0, 10, 5, None, None), ("b", 1, 0, 10, 5, 10, 5), ("c", 2, 0, 10, 5, 2, 1)]
    assert near_duplicates(records(rows[:1]), set()).empty
    found = near_duplicates(records(rows), set()).iloc[0]
    assert found["seeds"] == 2
    assert pd.isna(found["accuracy_without"])
    assert table(near_duplicates(records(rows), set())).rows[0][-1].text == "-"


@pytest.mark.parametrize(
    ("near", "near_right", "warned"),
    [(50, 50, True), (50, 30, False), (10, 10, False), (0, 0, False)],
    ids=["many that matter", "many that do not", "few", "none"],
)
def test_a_warning_needs_many_near_duplicates_and_a_change(near, near_right, warned):
    # 600 of 1000 are right: 50 of which 30 are right change nothing, and 10 are not more than 1 %.
    found = near_duplicates(records([("a", 0, 0, 1000, 600, near, near_right)]), set())
    assert bool(warnings(found)) == warned
    if warned:
        text = warnings(found)[0]
        assert text.startswith("s on d: up to 5.0 % of queries")
        assert "m (shots 4) moves from 60.00 to 57.89 %" in text


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    names = {"made": [f"bird {i}" for i in range(6)]}
    make_run(folder / "r", {"m": 0.4, "n": 0.6}, near=4, manifest={"class_names": names})
    build([folder], folder / "out")
    return folder / "out"


def test_audit_is_in_every_form_and_warned_of(report):
    found = pd.read_csv(report / "audit.csv").set_index("method")
    assert (found["n_near_duplicates"] == 24).all()
    assert (found["difference"] > 0.05).all()
    assert "<h2" in (report / "report.html").read_text().split('id="audit-title"')[0]
    page = (report / "report.html").read_text()
    assert page.index("20.0 % of queries have a near-duplicate") < page.index("<table")
    assert "## Audit" in (report / "report.md").read_text()
    assert r"\toprule" in (report / "tables" / "audit.tex").read_text()


def test_audit_agrees_with_the_predictions(report):
    run = report.parent / "r"
    rows = pd.concat(pd.read_parquet(path) for path in (run / "records").iterdir())
    p = pd.concat(pd.read_parquet(path) for path in (run / "predictions").iterdir())
    p = p[(p["session"] == p["session"].max()) & ~p["near_duplicate"]]
    p = p.merge(rows[["cell", "method", "seed"]].drop_duplicates(), on="cell")
    p["right"] = p["label"] == p["prediction"]
    expected = p.groupby(["method", "seed"])["right"].mean().groupby("method").mean()
    found = pd.read_csv(report / "audit.csv").set_index("method")["accuracy_without"]
    assert found.to_dict() == pytest.approx(expected.to_dict(), abs=1e-6)


def test_classes_have_names_in_figures(report):
    for kind in ("classes", "forgetting"):
        path = next((report / "figures").glob(f"*-{kind}.csv"))
        data = pd.read_csv(path)
        assert (data["class_name"] == "bird " + data["class"].astype(str)).all()
        assert ">bird " in path.with_suffix(".svg").read_text()


def test_a_run_of_an_older_version_has_neither_audit_nor_names(tmp_path):
    folder = make_run(tmp_path / "r", {"m": 0.4, "n": 0.6}, near=4, seeds=(0,))
    for path in (folder / "records").iterdir():
        pd.read_parquet(path).drop(columns=[*AUDITED, "experiment"]).to_parquet(path)
    text = build([folder], tmp_path / "out")
    assert "near-duplicate" not in text
    assert not (tmp_path / "out" / "audit.csv").exists()
    data = pd.read_csv(next((tmp_path / "out" / "figures").glob("*-classes.csv")))
    assert "class_name" not in data
