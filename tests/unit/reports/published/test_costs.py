"""Published costs beside the measured ones."""

import numpy as np
import pandas as pd
import pytest

from bench.reports.report import build
from tests.statistics.runs import make_run


def report(folder, **settings):
    # 50 classes are asked about, as the papers do on CUB.
    wanted = {"seeds": (0, 1), "sessions": 1, "per": 50, "queries": 4, "scenario": "web-zero-shot", "conditions": ({},)}
    make_run(folder / "r", {"mml": 0.7, "mml-text": 0.6}, **(wanted | settings))
    build([folder / "r"], folder / "out")
    return pd.read_csv(folder / "out" / "published.csv"), folder / "out"


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
