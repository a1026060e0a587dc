"""Everything that a report makes stands in one of its sections, and what has none is an error."""

from __future__ import annotations

from typing import get_args

import pytest

from bench.reports import analysis as analysis_module
from bench.reports.analysis import Analysis
from bench.reports.figures.drawing import draw_all
from bench.reports.figures.registry import FIGURES, FigureKind, SectionKey, figure
from bench.reports.sections import sections
from bench.reports.sections.sections import SECTIONS, parts, tables
from bench.reports.utils.registry import Registry
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return Analysis.of([make_run(tmp_path_factory.mktemp("runs") / "r", {"a": 0.5, "b": 0.6})])


def test_sections_are_those_that_a_figure_can_name() -> None:
    assert tuple(section.key for section in SECTIONS) == get_args(SectionKey)
    assert {kind.section for kind in FIGURES} <= set(get_args(SectionKey))


def test_a_figure_without_a_section_is_refused_where_it_is_registered() -> None:
    with pytest.raises(BenchError, match=r"stands in section 'score', .* did you mean 'scores'\?"):
        figure("mine", section="score")  # type: ignore[arg-type]
    assert "mine" not in FIGURES.names()


def test_a_figure_whose_section_is_gone_is_an_error_and_not_missing(
    analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = FigureKind(name="lost", section="elsewhere", draw=lambda analysis: [])  # type: ignore[arg-type]
    only: Registry[FigureKind] = Registry("figure", "no.such.group", built_in={"lost": lost})
    monkeypatch.setattr(sections, "FIGURES", only)
    with pytest.raises(BenchError, match="figures lost name no section of the report"):
        tables(analysis)


def test_every_part_is_computed_once(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("paired_comparisons", "scores", "groups", "read_runs"):
        original = getattr(analysis_module, name)

        def counted(*args: object, name: str = name, original: object = original, **chosen: object) -> object:
            calls.append(name)
            return original(*args, **chosen)  # type: ignore[operator]

        monkeypatch.setattr(analysis_module, name, counted)
    fresh = Analysis.of([info.folder for info in analysis.run_table.runs])
    parts(tables(fresh), draw_all(fresh))
    assert fresh.published is fresh.published
    assert sorted(calls) == ["groups", "paired_comparisons", "read_runs", "scores"]
