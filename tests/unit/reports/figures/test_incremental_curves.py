"""Accuracy session by session."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.reports.figures.incremental_curves import curves
from bench.reports.report import build
from tests.statistics.runs import make_run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    methods = {"knn": 0.5, "mml": 0.8, "<b>odd & name": 0.6}
    make_run(folder / "a", methods, run="a", sessions=2, fidelity="adapted")
    make_run(folder / "b", {"clip": 0.4}, run="b", status="skipped", reason="needs texts & prompts")
    build([folder], folder / "out")
    return folder / "out"


def test_a_curve_runs_over_sessions_where_classes_stay_the_same(tmp_path):
    counts = [[2, 4, 4], [2, 4, 6]]
    for classes, label in zip(counts, ("session", "classes seen so far"), strict=True):
        rows = [("s", "d", "{}", m, 0, f"{m}", t, 0.5, c) for m in "ab" for t, c in enumerate(classes)]
        names = [*("scenario", "dataset", "condition", "method", "seed", "cell", "session", "accuracy", "n_classes")]
        (figure,) = curves(pd.DataFrame(rows, columns=names))
        assert f">{label}</text>".encode() in figure.svg
        assert figure.data["classes_seen"].tolist() == 2 * classes


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
    for path in (folder / "predictions").iterdir():
        table = pd.read_parquet(path)
        second = table[table["session"] == 1]
        table = pd.concat([table[table["session"] < 2], second.assign(session=np.int32(2))])
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
