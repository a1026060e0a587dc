"""The report from files to files."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.reports.build import build
from bench.reports.differences import differences
from bench.reports.estimates import per_cell_extra
from bench.reports.load import load
from bench.reports.scores import scores
from bench.reports.summary import per_cell, per_session
from bench.utils.errors import BenchError
from bench.utils.version import SCHEMA
from tests.statistics.runs import make_run

METHODS = {"bad": 0.4, "fair": 0.6, "good": 0.8}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "r", METHODS)


def cells_of(run):
    records = load([run]).records
    return per_cell(records, scores(records), per_cell_extra([]))


def sessions_of(run):
    records = load([run]).records
    return per_session(records, scores(records))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return out, build([run], out)


def test_numbers_are_those_of_the_predictions(run, built):
    summary = pd.read_csv(built[0] / "summary.csv")
    seeds = summary[summary["seed"] != "mean"].astype({"seed": int}).set_index(["method", "seed"]).sort_index()

    records = pd.concat(pd.read_parquet(path) for path in (run / "records").iterdir())
    p = pd.concat(pd.read_parquet(path) for path in (run / "predictions").iterdir())
    p = p.merge(records[["cell", "method", "seed"]].drop_duplicates(), on="cell")
    p["right"] = p["label"] == p["prediction"]
    key = ["method", "seed"]
    by_session = p.pivot_table("right", key, "session")
    by_class = p.pivot_table("right", [*key, "label"], "session")
    old = by_class[by_class.iloc[:, -2].notna()]
    lost = old.iloc[:, :-1].max(axis=1) - old.iloc[:, -1]
    assert seeds["accuracy"].to_numpy() == pytest.approx(by_session.iloc[:, -1].to_numpy(), abs=1e-6)
    assert seeds["average_incremental_accuracy"].to_numpy() == pytest.approx(by_session.mean(axis=1), abs=1e-6)
    assert seeds["mean_class_recall"].to_numpy() == pytest.approx(by_class.iloc[:, -1].groupby(key).mean(), abs=1e-6)
    assert seeds["forgetting"].to_numpy() == pytest.approx(lost.groupby(key).mean().to_numpy(), abs=1e-6)
    means = summary[summary["seed"] == "mean"].set_index("method")
    assert means["accuracy"].to_numpy() == pytest.approx(by_session.iloc[:, -1].groupby("method").mean(), abs=1e-6)


def test_same_bytes_whatever_the_order_of_the_records(run, built, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(run, moved)
    # One file with all rows upside down, in place of a file a cell.
    for part in ("records", "predictions"):
        files = sorted((moved / part).iterdir(), reverse=True)
        if part == "records":
            frames = [pd.read_parquet(path).iloc[::-1] for path in files]
            for path in files:
                path.unlink()
            pd.concat(frames, ignore_index=True).to_parquet(moved / part / "all.parquet")
    build([moved], tmp_path / "b")
    assert contents(built[0]) == contents(tmp_path / "b")
    assert any(name.endswith(".png") for name in contents(tmp_path / "b"))


def test_forward_transfer_that_is_not_measured_is_null_not_zero(run):
    assert cells_of(run)["forward_transfer"].isna().all()


def test_old_and_new_are_null_where_there_is_none(run):
    first = sessions_of(run).query("session == 0")
    assert first["old_accuracy"].isna().all()
    assert first["new_accuracy"].to_numpy() == pytest.approx(first["accuracy"].to_numpy())


def test_no_run_and_no_record_are_one_line(tmp_path):
    with pytest.raises(BenchError, match=r"no run in .*bench run"):
        build([tmp_path], tmp_path / "out")
    empty = make_run(tmp_path / "runs", {}, cells=3)
    with pytest.raises(BenchError, match="no finished cell"):
        build([empty], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_is_named_and_nothing_is_written(run, tmp_path):
    (tmp_path / "typo").mkdir()
    with pytest.raises(BenchError, match=r"no run in .*typo;"):
        build([run, tmp_path / "typo"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_file_in_place_of_the_report_is_one_line(run, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BenchError, match=r"is, or lies in, a file and no folder; choose another --out"):
        build([run], tmp_path / out)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_that_skipped_everything_says_why(tmp_path):
    folder = make_run(tmp_path / "r", {"m": 0.5, "n": 0.5}, status="skipped", reason="needs texts")
    said = "every cell was skipped: m was skipped on made: needs texts; n was skipped on made: needs texts"
    with pytest.raises(BenchError, match=said):
        build([folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_in_progress_is_reported_and_said(tmp_path):
    folder = make_run(tmp_path / "r", METHODS, cells=20)
    assert "run abc123 is not finished: 9 of 20 cells are there" in load([folder]).warnings


def described(methods, datasets=("made",), seeds=(0, 1, 2)):
    """Return what a manifest says of a run that is to have these."""
    return {
        "methods": [{"label": name} for name in methods],
        "datasets": [{"name": name} for name in datasets],
        "seeds": list(seeds),
    }


def test_a_run_in_progress_says_what_is_not_there(tmp_path):
    manifest = described(["bad", "good", "icarl", "mml"], ("made", "more"), (0, 1, 2))
    folder = make_run(tmp_path / "r", {"bad": 0.4, "good": 0.8}, seeds=(0, 1), cells=24, manifest=manifest)
    next((folder / "records").glob("made-bad-1-*")).unlink()
    (said,) = [warning for warning in load([folder]).warnings if "not finished" in warning]
    assert said == (
        "run abc123 is not finished: 3 of 24 cells are there; no cell yet of methods icarl, mml; no cell yet of data "
        "set more; no cell yet of seed 2; fewer cells than of other methods (2 of 6): bad 1"
    )
    text = build([folder], tmp_path / "out")
    assert f"warning: {said}" in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert 0 < page.index("no cell yet of methods icarl, mml") < page.index("<table")


def test_a_finished_run_says_nothing_of_what_is_there(tmp_path):
    folder = make_run(tmp_path / "r", METHODS, manifest=described(METHODS))
    assert not any("cell" in warning for warning in load([folder]).warnings)


def test_shards_are_one_run_and_one_alone_is_not_whole(tmp_path):
    manifest = described(["bad", "good"], seeds=(0, 1)) | {"cells_of_all_shards": 4}
    halves = [
        make_run(tmp_path / name, {name: 0.5}, seeds=(0, 1), manifest=manifest | {"shard": f"{number}/2"})
        for number, name in enumerate(("bad", "good"), start=1)
    ]
    warnings = load(halves[:1]).warnings
    assert any("2 of 4 cells" in w and "method good" in w and "shards 1/2 alone" in w for w in warnings)
    both = load(halves)
    assert not any("not finished" in warning for warning in both.warnings)
    cells = both.records["cell"].unique().tolist()
    assert len(cells) == 4
    assert set(both.predictions(cells)["cell"]) == set(cells)


def test_a_copy_of_a_run_beside_it_changes_nothing(run, built, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    build([run, tmp_path / "copy"], tmp_path / "out")
    for name in ("summary.csv", "comparisons.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (built[0] / name).read_bytes()


def test_cells_without_predictions_are_warned_of(tmp_path):
    folder = make_run(tmp_path / "r", METHODS)
    for path in (folder / "predictions").glob("made-fair-*"):
        path.unlink()
    said = (
        "3 of 9 cells have no predictions (fair): they are in no paired comparison, and intervals of their methods are "
        "over seeds alone"
    )
    assert f"warning: {said}" in build([folder], tmp_path / "out")
    assert not any("no predictions" in warning for warning in load([make_run(tmp_path / "s", METHODS)]).warnings)


def test_records_of_another_run_are_one_line(tmp_path):
    folder = make_run(tmp_path / "r", METHODS)
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(manifest | {"run": "other"}))
    with pytest.raises(BenchError, match="is the folder of run other and holds records of run abc123; move those"):
        build([folder], tmp_path / "out")


def test_what_an_old_manifest_lacks_is_no_difference(tmp_path):
    folder = make_run(tmp_path / "r", METHODS, provenance=json.dumps({"device": "cpu"}))
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({key: manifest[key] for key in ("run", "schema")}))
    assert differences(load([folder])) == (None, [])


def test_flops_are_told_by_phase_by_query_and_in_all(tmp_path):
    counted = {"train_flops": 5000, "build_flops": 1000, "retrieve_flops": 4000, "score_flops": 800}
    counted |= {"elementwise_flops": 0, "formula_flops": 0, "encoder_flops": 7000}
    folder = make_run(tmp_path / "r", {"m": 0.5}, sessions=1, per=4, **counted)
    build([folder], tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    # 80 queries: 4 classes of 20.
    assert "| train | build | retrieve / query | score / query | answer / query | total | encoder / image |" in text
    assert "| m | 5.00 k | 1.00 k | 50 | 10 | 60 | 10.8 k | 7.00 k | 0.0 | 0.0 |" in text


def test_one_seed_has_no_interval_over_seeds(tmp_path):
    folder = make_run(tmp_path / "r", METHODS, seeds=(0,), sessions=1)
    text = build([folder], tmp_path / "out")
    assert "one seed: there is no interval over seeds, the interval shown is over queries alone" in text
    page = (tmp_path / "out" / "report.md").read_text()
    assert "One seed: 95 % intervals are over its queries (or episodes) alone" in page
    assert "with 95 % interval over the queries of one seed" in page


def test_one_seed_of_some_methods_names_them(tmp_path):
    make_run(tmp_path / "a", {"good": 0.8}, seeds=(0, 1), run="a")
    make_run(tmp_path / "b", {"bad": 0.4}, seeds=(0,), run="b")
    assert any(warning.startswith("one seed of bad: ") for warning in load([tmp_path]).warnings)


def test_an_approximate_search_is_warned_of_with_its_worst_recall(tmp_path):
    make_run(tmp_path / "a", {"knn": 0.8}, run="a", search="hnsw:ef=8", search_recall=0.9375)
    make_run(tmp_path / "b", {"mml": 0.8}, run="b", search="exact-bf16")
    loaded = load([tmp_path])
    said = [warning for warning in loaded.warnings if "approximately" in warning]
    assert said == [
        "neighbours were searched approximately (hnsw:ef=8) for knn: in the worst session it found 93.75 % of the "
        "exact ones"
    ]
    found = {(row[0].text, row[1].text): row[2].text for row in differences(loaded)[0].rows}
    assert found["search", "hnsw:ef=8"] == "a"
    assert found["search", "exact"] == "b"


def test_unequal_seeds_are_said(tmp_path):
    make_run(tmp_path / "a", {"good": 0.8}, seeds=(0, 1), run="a")
    make_run(tmp_path / "b", {"bad": 0.4}, seeds=(0, 1, 2), run="b")
    assert any("unequal seeds" in warning for warning in load([tmp_path]).warnings)


@pytest.mark.parametrize("where", ["manifest", "records"])
def test_a_newer_schema_is_refused(tmp_path, where):
    newer = {"schema": SCHEMA + 1} if where == "records" else {}
    folder = make_run(tmp_path / "r", {"good": 0.8}, **newer)
    if where == "manifest":
        manifest = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(manifest | {"schema": SCHEMA + 1}))
    with pytest.raises(BenchError, match="newer version"):
        build([folder], tmp_path / "out")


def test_the_newest_of_two_equal_cells_is_shown(tmp_path):
    make_run(tmp_path / "old", {"m": 0.1}, run="zzz", created="2026-01-01T00:00:00+00:00")
    make_run(tmp_path / "new", {"m": 0.9}, run="aaa", created="2026-02-01T00:00:00+00:00")
    loaded = load([tmp_path])
    assert set(loaded.records["run"]) == {"aaa"}
    assert any("3 cells are in several runs" in warning for warning in loaded.warnings)
    make_run(tmp_path / "one" / "old", {"m": 0.1}, seeds=(0,), run="zzz")
    make_run(tmp_path / "one" / "new", {"m": 0.9}, seeds=(0,), run="aaa")
    assert any("1 cell is in several runs" in warning for warning in load([tmp_path / "one"]).warnings)


def test_two_settings_of_one_method_get_labels_that_say_what_differs(tmp_path):
    make_run(tmp_path / "a", {"knn": 0.5}, run="a", method_params='{"k": 8, "vote": "plain"}')
    make_run(tmp_path / "b", {"knn": 0.6}, run="b", method_params='{"k": 32, "vote": "plain"}')
    assert set(load([tmp_path]).records["method"]) == {"knn:k=8", "knn:k=32"}


@pytest.mark.parametrize(
    ("one", "two", "condition"),
    [
        ({"increment": None, "base": 0}, {"increment": 2, "base": 0}, {"increment": 2}),
        ({"rates": [0, 0.4]}, {"rates": [0, 0.2, 0.4]}, {"rate": 0.4}),
        ({"sizes": [1, 4]}, {"sizes": [4, None]}, {"items": 4}),
        ({"pairs": ["AA", "AB"]}, {"pairs": ["AB"]}, {"trained": "A", "tested": "B"}),
    ],
)
def test_settings_that_the_condition_says_keep_nothing_apart(tmp_path, one, two, condition):
    for name, params in (("good", one), ("bad", two)):
        settings = {"conditions": (condition,), "scenario_params": json.dumps(params)}
        make_run(tmp_path / name, {name: 0.5}, run=name, **settings)
    loaded = load([tmp_path])
    assert loaded.records["scenario"].unique().tolist() == ["incremental"]
    build([tmp_path], tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "comparisons.csv")) == 1
    # What differs is said all the same.
    (changed,) = one.keys() & two.keys() - {key for key in one if one[key] == two.get(key)}
    assert f"incremental.{changed}" in (tmp_path / "out" / "report.md").read_text()


def test_a_sweep_of_which_one_value_meets_another_run_stays_whole(tmp_path):
    for name, sizes in (("good", [1, 4, 16]), ("bad", [4, 16])):
        conditions = tuple({"memory": "rest", "items": size} for size in sizes)
        settings = {"scenario_params": json.dumps({"sizes": sizes, "memory": "auto"})}
        make_run(tmp_path / name, {name: 0.5}, run=name, conditions=conditions, **settings)
    assert load([tmp_path]).records["scenario"].unique().tolist() == ["incremental"]
    build([tmp_path], tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "comparisons.csv")
    assert sorted(json.loads(text)["items"] for text in found["condition"]) == [4, 16]
    swept = pd.read_csv(tmp_path / "out" / "sweeps.csv")
    assert set(zip(swept["method"], swept["least"], swept["largest"], strict=True)) == {("good", 4, 16), ("bad", 4, 16)}


def test_data_of_other_content_leaves_settings_together(tmp_path):
    for name, rates in (("good", [0, 0.4]), ("bad", [0.4])):
        settings = {"scenario_params": json.dumps({"rates": rates}), "features_fingerprint": name}
        folder = make_run(tmp_path / name, {name: 0.5}, run=name, conditions=({"rate": 0.4},), **settings)
        for path in (folder / "records").iterdir():
            pd.read_parquet(path).assign(queries_fingerprint=name).to_parquet(path)
    assert load([tmp_path]).records["scenario"].unique().tolist() == ["incremental"]


@pytest.mark.parametrize("queries", ["same", "other"])
def test_other_settings_and_other_queries_are_kept_apart(tmp_path, queries):
    for name, images, value in (("good", 16, "a"), ("bad", 4 if queries == "same" else 16, "b")):
        settings = {"scenario_params": json.dumps({"train_images": images, "increment": None if name == "bad" else 2})}
        folder = make_run(tmp_path / name, {name: 0.5}, run=name, **settings)
        if queries == "other":
            for path in (folder / "records").iterdir():
                table = pd.read_parquet(path)
                table["queries_fingerprint"] = value
                pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    assert load([tmp_path]).records["scenario"].nunique() == 2


def test_skipped_adapted_and_oracle_are_warned_of(tmp_path):
    make_run(tmp_path / "a", {"x": 0.5}, run="a", fidelity="adapted")
    make_run(tmp_path / "b", {"y": 0.5}, run="b", selection="oracle")
    make_run(tmp_path / "c", {"z": 0.5}, run="c", status="skipped", reason="needs texts")
    text = "\n".join(load([tmp_path]).warnings)
    assert "z was skipped on made: needs texts" in text
    assert "adapted, not faithful to their papers: x" in text
    assert "(oracle), so no fair figure: y" in text


def test_the_terminal_shows_the_best_method_first(built):
    lines = built[1].splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["good", "fair", "bad"]
    assert "report.html" in lines[-1]


def test_every_number_that_is_drawn_is_in_the_csv(run, built):
    data = pd.read_csv(built[0] / "figures" / "incremental-made-base-0-increment-2-curve.csv")
    assert set(data["method"]) == set(METHODS)
    assert (data["seeds"] == 3).all()
    cells = sessions_of(run).query("method == 'good' and session == 2")
    drawn = data.query("method == 'good' and session == 2")["accuracy"].item()
    assert drawn == pytest.approx(np.mean(cells["accuracy"]), abs=1e-6)


def test_a_report_does_not_import_torch(run, tmp_path):
    code = (
        "import sys; from pathlib import Path; from bench.reports.build import build; "
        f"build([Path({str(run)!r})], Path({str(tmp_path)!r})); "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'open_clip', 'faiss', 'tensorflow')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
