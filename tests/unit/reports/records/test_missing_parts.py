"""Methods that ran without a part of theirs are marked wherever they stand."""

import pandas as pd

from bench.reports.analysis import Analysis, Choices
from bench.reports.report import build
from tests.statistics.runs import make_run


def test_a_method_without_texts_says_so_in_tables_and_warnings(tmp_path):
    make_run(tmp_path / "a", {"tip-adapter": 0.8}, run="a", datasets=("bare",), missing_parts="class texts")
    make_run(tmp_path / "b", {"tip-adapter": 0.8}, run="b", datasets=("told",))
    make_run(tmp_path / "c", {"knn": 0.6}, run="c", datasets=("bare", "told"))
    runs = [tmp_path / name for name in "abc"]
    text = build(runs, tmp_path / "out", choices=Choices(baseline="knn"))
    assert "ran without class texts, so not as published: tip-adapter (images only), on bare" in text
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    found = summary.groupby("dataset")["method"].agg(lambda names: sorted(set(names))).to_dict()
    assert found == {"bare": ["knn", "tip-adapter (images only)"], "told": ["knn", "tip-adapter"]}
    assert "tip-adapter (images only)" in (tmp_path / "out" / "tables" / "scores.tex").read_text()
    compared = pd.read_csv(tmp_path / "out" / "comparisons.csv")
    assert compared.set_index("dataset")["a"].to_dict() == {"bare": "tip-adapter (images only)", "told": "tip-adapter"}


def test_a_baseline_without_texts_is_found_by_its_own_name(tmp_path):
    make_run(tmp_path / "a", {"tip-adapter": 0.8}, run="a", missing_parts="class texts")
    make_run(tmp_path / "b", {"knn": 0.6}, run="b")
    (comparison,) = Analysis.of([tmp_path], choices=Choices(baseline="tip-adapter")).comparisons[0]
    assert (comparison.a, comparison.b) == ("knn", "tip-adapter (images only)")


def test_a_part_that_only_some_seeds_lack_is_said_and_marks_no_name(tmp_path):
    make_run(tmp_path / "a", {"mml": 0.8}, run="a", seeds=(0,), missing_parts="text branch")
    make_run(tmp_path / "b", {"mml": 0.8}, run="b", seeds=(1,))
    analysis = Analysis.of([tmp_path])
    assert analysis.methods == ["mml"]
    assert sum("ran without text branch" in line for line in analysis.warnings) == 1
