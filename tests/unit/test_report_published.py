"""Published numbers beside measured ones, and the report's own files."""

import json

import numpy as np
import pandas as pd
import pytest

from bench.reports.build import build
from bench.reports.estimates import per_cell_extra
from bench.reports.load import load
from bench.reports.output import WRITTEN, parquet_bytes, publish
from bench.reports.published import measured, published
from bench.reports.scores import scores
from bench.reports.summary import over_seeds, per_cell
from bench.runner.experiments import published as numbers
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run


def report(folder, **settings):
    # 50 classes are asked about, as the papers do on CUB.
    wanted = {"seeds": (0, 1), "sessions": 1, "per": 50, "queries": 4, "scenario": "web-zero-shot", "conditions": ({},)}
    make_run(folder / "r", {"mml": 0.7, "mml-text": 0.6}, **(wanted | settings))
    build([folder / "r"], folder / "out")
    return pd.read_csv(folder / "out" / "published.csv"), folder / "out"


def test_the_same_data_set_has_a_difference(tmp_path):
    found, out = report(tmp_path, experiment="t05", datasets=("cub",))
    assert len(found) == len(numbers("t05"))
    mml = found.query("label == 'MML' and published_dataset == 'cub'").iloc[0]
    mean = pd.read_csv(out / "summary.csv").query("seed == 'mean' and method == 'mml'")["accuracy"].item()
    assert mml["published"] == 75.6
    assert mml["measured"] == pytest.approx(mean, abs=1e-6)
    assert mml["difference"] == pytest.approx(mean - 0.756, abs=1e-6)
    assert "encoder of the published number not recorded" in mml["remark"]
    # ImageNet-S was not run, and CUB does not stand in for it.
    assert set(found.query("published_dataset == 'imagenet_s'")["remark"]) == {"not measured"}
    assert found.query("label == 'no kNN'")["measured"].isna().all()
    assert "## Published" in (out / "report.md").read_text()
    assert 'id="published-table"' in (out / "report.html").read_text()
    assert (out / "tables" / "published.tex").exists()


def test_a_variant_is_not_taken_for_its_method(tmp_path):
    # Both are records of the class that is registered as mml, and only one is the MML of the table.
    found, _ = report(tmp_path, experiment="t05", datasets=("cub",), method_name="mml")
    measured_rows = found.dropna(subset="method")
    assert dict(zip(measured_rows["label"], measured_rows["method"], strict=True)) == {
        "MML": "mml",
        "text memory": "mml-text",
    }


def test_other_data_is_said_and_gets_no_difference(tmp_path):
    found, _ = report(tmp_path, experiment="t05", datasets=("glyphs",))
    mml = found.query("method == 'mml'")
    assert set(mml["published_dataset"]) == {"cub", "imagenet_s"}
    assert (mml["dataset"] == "glyphs").all()
    assert mml["measured"].notna().all()
    assert mml["difference"].isna().all()
    assert mml["remark"].str.startswith("other data").all()


@pytest.mark.parametrize(
    ("encoder", "values", "remark"),
    [
        ("ViT-B-32:openai", {76.7}, "same data set and encoder by name"),
        ("resnet", {76.7, 78.8}, "other encoder"),
    ],
)
def test_the_row_of_the_encoder_is_compared_and_another_is_said(tmp_path, encoder, values, remark):
    found, _ = report(tmp_path, experiment="t02", datasets=("cub",), encoder=encoder)
    mml = found.query("method == 'mml'")
    assert set(mml["published"]) == values
    assert set(mml["remark"]) == {remark}


def test_a_setting_of_the_table_must_agree(tmp_path):
    found, _ = report(tmp_path, experiment="t17", datasets=("imagenet_s",), method_params='{"logit_scale": 8}')
    assert found.query("method == 'mml'")["published"].tolist() == [83.5]
    assert found.query("method == 'mml'")["label"].tolist() == ["temperature 8"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"per": 20}, "other classes: 20 asked about, 50 published"),
        ({"conditions": ({"memory": "support split"},)}, "other memory: support split"),
    ],
)
def test_another_task_is_said_and_gets_no_difference(tmp_path, settings, words):
    found, _ = report(tmp_path, experiment="t05", datasets=("cub",), **settings)
    mml = found.query("method == 'mml'")
    assert mml["measured"].notna().all()
    assert mml["difference"].isna().all()
    assert mml["remark"].str.startswith(words).all()


def test_costs_are_brought_to_the_published_batch_and_unit(tmp_path):
    costs = {"encoder_flops": 8 * 10**9, "retrieve_flops": 3 * 10**8, "score_flops": 10**8, "memory_items": 1234}
    made = {"experiment": "s4-5", "datasets": ("glyphs",), "encoder": "ViT-B-32:openai", "method_params": '{"k": 32}'}
    make_run(tmp_path / "r", {"knn": 0.6, "mml": 0.7}, sessions=1, per=50, queries=4, **made, **costs)
    build([tmp_path / "r"], tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "published.csv").set_index("label")
    # 200 queries; two FLOPs are a multiply-add; a batch is 256.
    assert found.loc["feature extraction", "measured"] == pytest.approx(4 * 256)
    assert found.loc["kNN retrieval", "measured"] == pytest.approx(0.3 / 200 / 2 * 256)
    assert found.loc["knowledge integration", "measured"] == pytest.approx(0.1 / 200 / 2 * 256)
    assert found.loc["feature extraction", "relative"] == pytest.approx(4 * 256 / 1129.9 - 1, abs=1e-6)
    assert found["difference"].isna().all()
    assert found.loc["kNN retrieval", "remark"] == (
        "same encoder by name; memory of 1,234 items in all (published: as many multiply-adds as 445,000 of 512 "
        "dimensions)"
    )
    assert found.loc["knowledge integration", "remark"] == "same encoder by name; k 32; 50 classes, 1000 published"
    assert found.loc["training", "remark"] == "not measured (it takes a GPU)"
    assert found.loc["kNN retrieval", "method"] == "knn"
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| 1024 billion multiply-adds | -9.37 % |" in text


@pytest.mark.parametrize("method", ["mml", "mml(k=16)", "mml:k=16"])
def test_the_cost_of_other_parameters_is_that_of_the_method(tmp_path, method):
    made = {"experiment": "s4-5", "datasets": ("imagenet",), "method_params": '{"k": 16}', "score_flops": 10**8}
    make_run(tmp_path / "r", {method: 0.7, "mml-text": 0.6}, sessions=1, per=50, queries=4, **made)
    build([tmp_path / "r"], tmp_path / "out")
    row = pd.read_csv(tmp_path / "out" / "published.csv").set_index("label").loc["knowledge integration"]
    assert row["method"] == method
    assert row["measured"] == pytest.approx(0.1 / 200 / 2 * 256)
    assert "k 16" in row["remark"]


def test_peaks_of_a_gpu_are_set_beside_the_published_ones(tmp_path):
    peaks = {"train_peak_gpu_bytes": 11 * 10**8, "score_peak_gpu_bytes": None}
    make_run(tmp_path / "r", {"mml": 0.7}, sessions=1, experiment="s4-5", datasets=("imagenet",), **peaks)
    build([tmp_path / "r"], tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "published.csv").set_index("label")
    assert found.loc["training", "measured"] == pytest.approx(1.1)
    assert found.loc["training", "relative"] == pytest.approx(-0.5)
    assert np.isnan(found.loc["classifying 1000 classes", "measured"])


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("complete", [True, False])
def test_an_average_needs_every_data_set(tmp_path, complete, restricted):
    asked = {n.dataset: n.classes for n in numbers("t14") if n.method == "mml" and n.dataset != "average"}
    sets = tuple(sorted(asked))[0 if complete else 1 :]
    settings = {"encoder": "ALIGN", "seeds": (0,), "sessions": 1, "scenario_params": '{"train_images": 1}'}
    for name in sets:
        per = 7 if restricted and name == sets[-1] else asked[name]
        settings |= {"experiment": "t14", "datasets": (name,), "run": name, "per": per, "queries": 1}
        make_run(tmp_path / "r" / name, {"mml": 0.7}, **settings)
    records = load([tmp_path / "r"]).records
    means = over_seeds(per_cell(records, scores(records), per_cell_extra([])), {})
    found = published(measured(records, means))
    own = found.query("method == 'mml'")
    average = own.query("dataset == 'average'")
    assert len(average) == complete
    if complete:
        rest = own.query("dataset != 'average'")["measured"]
        assert average["measured"].item() == pytest.approx(rest.mean(), abs=1e-5)
        assert set(own["label"]) == {"MML (ImageNet-1)"}
        assert average["difference"].isna().item() == restricted
        assert average["remark"].item().startswith("other classes: 7 asked") == restricted


def test_a_result_of_two_experiments_is_in_both(tmp_path):
    for name in ("t02", "t05"):
        created = f"2026-01-0{name[-1]}T00:00:00+00:00"
        make_run(tmp_path / name, {"mml": 0.7}, run=name, experiment=name, created=created, sessions=1)
    assert set(load([tmp_path]).records["experiment"]) == {"t02 t05"}


def test_no_experiment_no_section(tmp_path):
    make_run(tmp_path / "r", {"mml": 0.7}, sessions=1)
    build([tmp_path / "r"], tmp_path / "out")
    assert not (tmp_path / "out" / "published.csv").exists()


def test_parquet_copies_hold_what_the_csv_holds(tmp_path):
    _, out = report(tmp_path, experiment="t05", datasets=("cub",))
    for name in ("summary", "comparisons"):
        csv, parquet = pd.read_csv(out / f"{name}.csv"), pd.read_parquet(out / f"{name}.parquet")
        assert list(csv) == list(parquet)
        assert len(csv) == len(parquet)
        for column in ("accuracy", "difference"):
            if column in csv:
                assert parquet[column].to_numpy() == pytest.approx(csv[column].to_numpy(), abs=1e-6)


def test_parquet_takes_words_beside_numbers(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet_bytes(pd.DataFrame({"n": pd.Series([1, "2/3", None], dtype=object)})))
    assert pd.read_parquet(path)["n"].tolist()[:2] == ["1", "2/3"]


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
