"""The folder of a report."""

import errno
import json
from pathlib import Path

import pandas as pd
import pytest

from bench.reports import report as building
from bench.reports.page.report_folder import WRITTEN, publish
from bench.reports.report import build
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run


def report(folder, **settings):
    # 50 classes are asked about, as the papers do on CUB.
    wanted = {"seeds": (0, 1), "sessions": 1, "per": 50, "queries": 4, "scenario": "web-zero-shot", "conditions": ({},)}
    make_run(folder / "r", {"mml": 0.7, "mml-text": 0.6}, **(wanted | settings))
    build([folder / "r"], folder / "out")
    return pd.read_csv(folder / "out" / "published.csv"), folder / "out"


def test_an_earlier_report_leaves_nothing_behind_and_nothing_else_is_touched(tmp_path):
    out = tmp_path / "out"
    make_run(tmp_path / "a", {"m": 0.4, "n": 0.6}, datasets=("old",))
    make_run(tmp_path / "b", {"m": 0.4, "n": 0.6}, datasets=("new",))
    build([tmp_path / "a"], out)
    mine = out / "figures" / "my-old-figure.png"
    mine.write_bytes(b"mine")
    edited = next((out / "figures").glob("*old*curve.csv"))
    edited.write_text("edited by hand")
    build([tmp_path / "b"], out)
    left = {path.name for path in (out / "figures").iterdir() if "old" in path.name}
    assert left == {mine.name, edited.name}
    assert any("new" in path.name for path in (out / "figures").iterdir())


def test_only_files_of_the_folder_are_removed(tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside.csv"
    outside.write_bytes(b"x")
    publish(out, {"a.csv": b"x"})
    written = json.loads((out / WRITTEN).read_text())
    written["files"]["../outside.csv"] = written["files"]["a.csv"]
    (out / WRITTEN).write_text(json.dumps(written))
    publish(out, {"b.csv": b"y"})
    assert outside.exists()
    assert sorted(path.name for path in out.iterdir()) == ["b.csv", WRITTEN]


def test_a_damaged_list_of_files_is_one_line(tmp_path):
    publish(tmp_path, {"a.csv": b"x"})
    (tmp_path / WRITTEN).write_text("[")
    with pytest.raises(BenchError, match="is damaged"):
        publish(tmp_path, {"a.csv": b"x"})


def test_what_a_killed_report_left_is_swept_even_where_the_next_writes_nothing(tmp_path):
    out = tmp_path / "out"
    publish(out, {"report.html": b"a", "figures/one.png": b"b"})
    left = [out / ".report.html.0.99999999.tmp", out / "figures" / ".one.png.0.99999999.tmp"]
    for path in left:
        path.write_bytes(b"half")
    publish(out, {"report.html": b"a"})
    assert not [path for path in left if path.exists()]
    assert not (out / "figures" / "one.png").exists()


@pytest.mark.parametrize("text", ["[", "{}", '{"files": 5}', '{"files": []}', "[" * 5000, '{"files": {}, "files": {}}'])
def test_a_list_of_files_that_is_none_is_one_line(tmp_path, text):
    (tmp_path / "report-files.json").write_text(text)
    with pytest.raises(BenchError, match="is damaged") as caught:
        publish(tmp_path, {"a": b"a"})
    assert "\n" not in str(caught.value)


def test_the_page_is_there_before_its_figures(tmp_path, monkeypatch):
    make_run(tmp_path / "a", {"knn": 0.5, "mml": 0.8}, sessions=2)
    out = tmp_path / "out"
    build([tmp_path / "a"], out)
    whole = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    draw, seen = building.draw_all, []

    def look(*arguments):
        page = (out / "report.html").read_text()
        seen.append(("<table" in page, "<img" in page, "still being drawn" in page))
        # Nothing of the report before is gone yet.
        assert {path for path in out.rglob("*") if path.is_file()} == set(whole)
        return draw(*arguments)

    monkeypatch.setattr(building, "_SOON", -1.0)
    monkeypatch.setattr(building, "draw_all", look)
    build([tmp_path / "a"], out)
    assert seen == [(True, False, True)]
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole


def test_a_report_that_is_stopped_before_its_figures_is_made_whole_by_the_next(tmp_path, monkeypatch):
    make_run(tmp_path / "a", {"knn": 0.5, "mml": 0.8}, sessions=2)
    build([tmp_path / "a"], tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(building, "_SOON", -1.0)
        patch.setattr(building, "draw_all", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build([tmp_path / "a"], tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left >= {"report-files.json", "report.html", "summary.csv", "tables"}
    assert "figures" not in left
    build([tmp_path / "a"], tmp_path / "out")
    names = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    assert {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()} == names


@pytest.mark.parametrize("soon", [-1.0, 1e9], ids=["slow", "fast"])
@pytest.mark.parametrize("over", [True, False], ids=["over another", "new"])
def test_a_report_whose_figures_fail_leaves_the_folder_as_it_was(tmp_path, monkeypatch, soon, over):
    make_run(tmp_path / "a", {"knn": 0.5, "mml": 0.8}, sessions=1)
    out = tmp_path / "out" / "below"
    if over:
        publish(out, {"report.html": b"old", "mine.csv": b"1", "summary.csv": b"2"})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail(*arguments):
        assert (soon < 0) == (b"still being drawn" in (out / "report.html").read_bytes() if out.exists() else False)
        raise BenchError("figure 'mine' of plug-in 'mine' failed")

    monkeypatch.setattr(building, "_SOON", soon)
    monkeypatch.setattr(building, "draw_all", fail)
    with pytest.raises(BenchError, match=r"^figure 'mine' of plug-in 'mine' failed$"):
        build([tmp_path / "a"], out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (tmp_path / "out").exists() is over


def test_a_full_disk_leaves_the_report_before(tmp_path, monkeypatch):
    out = tmp_path / "out"
    publish(out, {"report.html": b"old", "a.csv": b"1"})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write = Path.write_bytes

    def full(path, content):
        if "z.csv" in path.name:
            write(path, content[:1])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BenchError, match=r"cannot write .*z\.csv: No space left on device; free some space"):
        publish(out, {"report.html": b"new", "a.csv": b"2", "new/z.csv": b"33", "b.csv": b"4"})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (out / "new").exists()
