"""Results over several data sets."""

import pytest

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import FIGURES
from bench.reports.sections.across_datasets import means_table
from tests.statistics.runs import make_run


@pytest.mark.parametrize("n", [2, 6])
def test_six_data_sets_get_a_diagram_and_two_are_told_why_not(tmp_path, n):
    sets = tuple("abcdef"[:n])
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.6, "o": 0.9}, datasets=sets, sessions=1, per=4)
    analysis = Analysis.of([folder])
    (result,), notes = analysis.across_datasets
    diagrams = list(FIGURES["critical-difference"](analysis))
    overall = means_table(result)
    assert [row[0].text for row in overall.rows] == ["o", "n", "m"]
    if n == 6:
        assert diagrams[0].data["method"].iloc[0] == "o"
        (note,) = notes
        assert "no signed-rank test of pairs: with 6 data sets and 3 pairs its least p-value is 0.0938" in note
    else:
        assert not diagrams
        assert "2 data sets are few" in notes[0]
        assert "no ranks: 2 data sets are too few to rank, it takes 5" in notes[1]
    assert "[" in overall.rows[0][1].text
    assert "speaks for new data sets like these" in overall.caption


def test_data_sets_on_which_defaults_were_chosen_are_in_no_mean_and_no_rank(tmp_path):
    sets = ("a", "glyphs", "b", "food101")
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, datasets=sets, sessions=1, per=4)
    (result,), notes = Analysis.of([folder]).across_datasets
    assert list(result.accuracy.index) == ["a", "b"]
    assert {group.dataset for group in result.groups} == {"a", "b"}
    assert any(note.endswith("defaults were chosen on them: food101, glyphs") for note in notes)


def test_one_data_set_alone_has_no_such_note(tmp_path):
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, datasets=("glyphs",), sessions=1, per=4)
    assert Analysis.of([folder]).across_datasets == ([], [])
