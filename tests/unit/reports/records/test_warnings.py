"""What records themselves warn of."""

import pytest

from bench.reports.records.run_differences import differences
from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run

METHODS = {"bad": 0.4, "fair": 0.6, "good": 0.8}


def test_one_seed_has_no_interval_over_seeds(tmp_path):
    folder = make_run(tmp_path / "r", METHODS, seeds=(0,), sessions=1)
    text = build([folder], tmp_path / "out")
    assert "one seed: there is no interval over seeds, the interval shown is over queries alone" in text
    page = (tmp_path / "out" / "report.md").read_text()
    assert "95 % intervals speak for new images of these classes, this seed." in page
    assert "Intervals and p speak for new images of these classes, this seed." in page


def test_one_seed_of_some_methods_names_them(tmp_path):
    make_run(tmp_path / "a", {"good": 0.8}, seeds=(0, 1), run="a")
    make_run(tmp_path / "b", {"bad": 0.4}, seeds=(0,), run="b")
    assert any(warning.startswith("one seed of bad: ") for warning in read_runs([tmp_path]).warnings)


def test_an_approximate_search_is_warned_of_with_its_worst_recall(tmp_path):
    make_run(tmp_path / "a", {"knn": 0.8}, run="a", search="hnsw:ef=8", search_recall=0.9375)
    make_run(tmp_path / "b", {"mml": 0.8}, run="b", search="exact-bf16")
    run_table = read_runs([tmp_path])
    said = [warning for warning in run_table.warnings if "approximately" in warning]
    assert said == [
        "neighbours were searched approximately (hnsw:ef=8) for knn: in the worst session it found 93.75 % of the "
        "exact ones"
    ]
    assert differences(run_table)[0]["search"] == {"hnsw:ef=8": ["a"], "exact": ["b"]}


def test_unequal_seeds_are_said(tmp_path):
    make_run(tmp_path / "a", {"good": 0.8}, seeds=(0, 1), run="a")
    make_run(tmp_path / "b", {"bad": 0.4}, seeds=(0, 1, 2), run="b")
    assert any("unequal seeds" in warning for warning in read_runs([tmp_path]).warnings)


def test_skipped_adapted_and_oracle_are_warned_of(tmp_path):
    make_run(tmp_path / "a", {"x": 0.5}, run="a", fidelity="adapted")
    make_run(tmp_path / "b", {"y": 0.5}, run="b", selection="oracle")
    make_run(tmp_path / "c", {"z": 0.5}, run="c", status="skipped", reason="needs texts")
    text = "\n".join(read_runs([tmp_path]).warnings)
    assert "z was skipped on made: needs texts" in text
    assert "adapted, not faithful to their papers: x" in text
    assert "(oracle), so no fair figure: y" in text


def test_a_choice_that_the_data_could_not_give_is_warned_of_with_its_reason(tmp_path):
    make_run(tmp_path / "a", {"gda": 0.8, "knn": 0.7}, run="a", selected_on="none: no class can spare a labelled image")
    make_run(tmp_path / "b", {"ape": 0.8}, run="b", selected_on="support: data set made has no validation split")
    make_run(tmp_path / "c", {"mml": 0.8}, run="c", selected_on="none")
    said = [line for line in read_runs([tmp_path]).warnings if "settings" in line or "held-out" in line]
    assert said == [
        "gda, knn on made took stated settings, since none could be chosen: no class can spare a labelled image",
        "ape on made chose on held-out support: data set made has no validation split",
    ]


def test_a_failed_cell_is_warned_of_with_its_reason(tmp_path):
    make_run(tmp_path / "a", {"x": 0.5}, run="a")
    make_run(
        tmp_path / "b", {"y": 0.5}, run="b", status="failed", reason="3 of 4 rows are NaN", error_type="ValueError"
    )
    run_table = read_runs([tmp_path])
    assert "y failed in 3 cells on made: ValueError: 3 of 4 rows are NaN" in run_table.warnings
    assert set(run_table.records["method"]) == {"x"}
    with pytest.raises(BenchError, match="every cell was skipped or failed: y failed in 3 cells on made: ValueError"):
        read_runs([tmp_path / "b"])
