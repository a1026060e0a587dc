"""What ``bench.run`` returns: a value that shows itself, with tables, comparisons, figures and reports."""

from __future__ import annotations

import gc
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import bench
from bench.notebook.result import Result
from bench.results.schema import COLUMNS
from bench.utils.errors import BenchError
from tests import toy


class Means:
    """A plain class: no decorator, no dataclass."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def build(self, task: Any, *, rng: Any) -> torch.Tensor:
        x, columns = task.labelled.x, task.columns(task.labelled.labels)
        return torch.stack([x[columns == c].mean(0) for c in range(task.n_classes)])

    def score(self, state: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        return self.scale * queries @ state.T


class Broken(Means):
    """Extends a plain class, so it is a method of its own."""

    def score(self, state: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        raise ValueError("no <i>luck</i>")


def run(*methods: Any, **options: Any) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return bench.run("supervised", list(methods), toy.dataset(), seeds=2, device="cpu", **options)


@pytest.fixture(scope="module")
def result() -> Result:
    return run(Means, Means(scale=2.0), Broken, "knn:k=1")


def test_a_plain_class_is_a_method_with_a_name_of_its_own(result: Result) -> None:
    assert sorted(set(result.frame["method"])) == ["Broken", "Means", "Means(scale=2.0)", "knn(k=1)"]
    assert set(result.frame["fidelity"].dropna()) <= {"faithful", "adapted"}


def test_a_plain_class_checks_its_parameters_and_can_be_set() -> None:
    made = run(Means, set={"Means.scale": 3})
    assert set(made.frame["method_params"]) == {'{"scale": 3.0}'}
    with pytest.raises(BenchError, match=r"Means\.scale='wide'"):
        Means(scale="wide")  # type: ignore[arg-type]
    with pytest.raises(BenchError, match="Means has no parameter 'scael'; did you mean 'scale'"):
        run(Means, set={"Means.scael": 3})


def test_what_cannot_build_or_score_is_refused_by_name() -> None:
    class Half:
        def build(self, task: Any, *, rng: Any) -> None: ...

    with pytest.raises(BenchError, match="Half is no method: it has no score; give it one"):
        run(Half)


def test_the_frame_has_the_columns_of_the_files_and_accuracy(result: Result) -> None:
    assert list(result.frame.columns) == [*COLUMNS, "accuracy"]
    ok = result.frame[result.frame["status"] == "ok"]
    np.testing.assert_allclose(ok["accuracy"], (ok["n_correct"] / ok["n_queries"]).astype(float))
    assert result.frame.loc[result.frame["status"] == "failed", "accuracy"].isna().all()


def test_the_summary_is_the_reports_best_first(result: Result) -> None:
    summary = result.summary()
    assert summary["accuracy"].is_monotonic_decreasing
    assert not summary.isna().all().any()
    assert (summary["accuracy_low"] <= summary["accuracy"]).all()
    means = result.analysis.means.set_index("method")["accuracy"]
    assert summary.set_index("method")["accuracy"].to_dict() == means.to_dict()


def test_comparisons_follow_the_baseline(result: Result) -> None:
    assert len(result.compare()) == 3
    against = result.compare(baseline="knn(k=1)")
    assert set(against["b"]) == {"knn(k=1)"}
    assert set(against["family"]) == {"knn(k=1)"}
    with pytest.raises(BenchError, match="no method 'knn' in this result"):
        result.compare(baseline="knn")


def test_it_shows_the_leaderboard_and_failed_cells(result: Result) -> None:
    shown, text = result._repr_html_(), repr(result)
    for method in ("Means(scale=2.0)", "knn(k=1)"):
        assert method in shown
        assert method in text
    assert "failed Broken on toy, seeds 0, 1: ValueError: no &lt;i&gt;luck" in shown
    assert "<i>luck" not in shown
    assert "failed Broken on toy, seeds 0, 1: ValueError: no <i>luck" in text
    assert shown.index("<b>") > 0


def test_a_result_without_answers_shows_why() -> None:
    made = run(Broken)
    assert "failed Broken" in made._repr_html_()
    assert "failed Broken" in repr(made)
    with pytest.raises(BenchError, match="nothing to report"):
        made.summary()


def test_figures_are_shown_and_saved(result: Result, tmp_path: Path) -> None:
    figures = result.plot()
    assert "data:image/svg+xml" in figures._repr_html_()
    (svg,) = figures.save(tmp_path)
    assert svg.read_bytes() == figures[0].svg
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".png", ".csv"}
    with pytest.raises(BenchError, match="no figure 'costs'; did you mean 'cost'"):
        result.plot("costs")
    with pytest.raises(BenchError, match="nothing in this result that 'forgetting' draws"):
        result.plot("forgetting")


def test_the_report_is_that_of_the_command(result: Result, tmp_path: Path) -> None:
    page = result.report(tmp_path / "report")
    assert "Means(scale=2.0)" in page.read_text()


def test_files_last_as_long_as_the_result(tmp_path: Path) -> None:
    made = run(Means)
    folder = made.folder
    assert (folder / "run.json").is_file()
    del made
    gc.collect()
    assert not folder.exists()
    kept = run(Means, out=tmp_path)
    folder = kept.folder
    del kept
    gc.collect()
    assert folder.parent == tmp_path
    assert (folder / "run.json").is_file()


def test_who_takes_it_for_a_table_is_told_where_the_table_is(result: Result) -> None:
    with pytest.raises(AttributeError, match=r"result\.frame\.groupby"):
        result.groupby("method")  # type: ignore[operator]
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        _ = result.colour


def test_a_notebook_shows_the_bar_and_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    class Bar:
        def __init__(self, **options: Any) -> None:
            made.append(options)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

        def set_postfix_str(self, text: str) -> None: ...

        def update(self, count: int) -> None: ...

    class Console:
        is_jupyter = True

    monkeypatch.setattr("tqdm.tqdm", Bar)
    monkeypatch.setattr("rich.get_console", Console)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    run(Means)
    monkeypatch.setattr(Console, "is_jupyter", False)
    run(Means)
    run(Means, progress=False)
    assert [(one["disable"], one["leave"]) for one in made] == [(False, False), (None, True), (True, True)]
