"""Published numbers beside measured ones, and the report's own files."""

import pandas as pd
import pytest

from bench.reports.metrics.per_cell import scores
from bench.reports.published.accuracy import measured, published
from bench.reports.records.run_table import read_runs
from bench.reports.report import build
from bench.reports.statistics.aggregate import from_predictions, over_seeds, per_cell
from bench.runner.experiments import classes_asked
from bench.runner.experiments import published as numbers
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
    records = read_runs([tmp_path / "r"]).records
    means = over_seeds(per_cell(records, scores(records), from_predictions([])), {})
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


@pytest.mark.parametrize("complete", [True, False])
def test_an_average_without_rows_of_its_own_is_over_the_data_sets_of_the_experiment(tmp_path, complete):
    asked = classes_asked("lp++")
    for name, classes in list(asked.items())[0 if complete else 1 :]:
        settings = {"experiment": "lp++", "datasets": (name,), "run": name, "per": classes, "queries": 1}
        settings |= {"seeds": (0,), "sessions": 1, "conditions": ({"shots": 4},)}
        make_run(tmp_path / "r" / name, {"lp++": 0.7}, **settings)
    records = read_runs([tmp_path / "r"]).records
    means = over_seeds(per_cell(records, scores(records), from_predictions([])), {})
    found = published(measured(records, means)).query("label == 'LP++, 4 shots'")
    assert found["measured"].notna().tolist() == [complete]
    assert found["source"].str.contains("arXiv:2509.03740").all()
    if complete:
        assert found["difference"].item() == pytest.approx(found["measured"].item() - 0.7577)
        assert found["remark"].item() == "encoder of the published number not recorded"


def test_a_result_of_two_experiments_is_in_both(tmp_path):
    for name in ("t02", "t05"):
        created = f"2026-01-0{name[-1]}T00:00:00+00:00"
        make_run(tmp_path / name, {"mml": 0.7}, run=name, experiment=name, created=created, sessions=1)
    assert set(read_runs([tmp_path]).records["experiment"]) == {"t02 t05"}


def test_no_experiment_no_section(tmp_path):
    make_run(tmp_path / "r", {"mml": 0.7}, sessions=1)
    build([tmp_path / "r"], tmp_path / "out")
    assert not (tmp_path / "out" / "published.csv").exists()
