"""The published and known numbers, on real CLIP features."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.registry import METHODS
from bench.data.import_features import Options, import_pack
from bench.data.inspect import inspect_dataset
from bench.data.registry import resolve
from bench.explain.value import values_of
from bench.functional.classwise import normalise
from bench.runner.api import run
from bench.sampling.sessions import make_task
from bench.utils.random import Stream

SETS = ("imagenet", "oxford_pets", "oxford_flowers", "dtd", "stanford_cars", "sun397", "food101")


@pytest.fixture(scope="module")
def packs(real_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packs")
    for name in SETS:
        import_pack(
            [real_features / f"{name}.npz"], real_features / "classes.json", root / name,
            Options(name=name, encoder="ViT-B-32:openai", space="clip-vit-b-32-openai"),
            texts=[real_features / "text_pool.npz"],
        )  # fmt: skip
    return root


def accuracy(name: str, data: Dataset, support: str, query: str, **parameters: object) -> float:
    everything = tuple(range(len(data.class_names)))
    task = make_task(data, everything, support=data.splits[support], memory=Memory.empty(data.dimension))
    method = METHODS.get(name).cls(**parameters)
    queries = data.splits[query]
    scores = method.score(method.build(task, rng=Stream(0)), queries.x.float())
    return float((scores.argmax(1) == queries.labels).float().mean())


@pytest.mark.parametrize(("split", "expected"), [("shot1", 0.664), ("shot2", 0.657), ("shot4", 0.655)])
def test_zero_shot_imagenet(packs: Path, split: str, expected: float) -> None:
    assert accuracy("zero-shot", resolve(packs / "imagenet"), split, split) == pytest.approx(expected, abs=0.001)


MINUTES = pytest.mark.skipif(
    not os.environ.get("BENCH_FULL_SPEED"), reason="takes a minute of processor time or more; set BENCH_FULL_SPEED=1"
)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("proker", {"beta": 1.5, "penalty": 0.05}, 0.673),
        ("neural-priming", {}, 0.673),
        pytest.param("lp++", {}, 0.686, marks=MINUTES),
        pytest.param("zlap", {}, 0.651, marks=MINUTES),
        pytest.param("tda", {}, 0.656, marks=MINUTES),
    ],
)
def test_imagenet_at_four_shots(packs: Path, name: str, given: dict[str, float], expected: float) -> None:
    """On queries that are no near-duplicates of the support, where a separate short form of each got these."""
    data = resolve(packs / "imagenet")
    support, asked = data.splits["shot4"], Features.concat([data.splits["shot1"], data.splits["shot2"]])
    keys = normalise(support.x)
    near = torch.cat([(part @ keys.T).amax(1) for part in normalise(asked.x).split(512)])
    queries = asked.take(near < 0.97)
    task = make_task(data, tuple(range(1000)), support=support, memory=Memory.empty(data.dimension))
    method = METHODS.get(name).cls(**given)
    with torch.no_grad():
        scores = method.score(method.build(task, rng=Stream(0)), queries.x.float())
    assert float((scores.argmax(1) == queries.labels).float().mean()) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("name", "mean", "neighbour"), [("oxford_pets", 0.750, 0.620), ("oxford_flowers", 0.923, 0.905)]
)
def test_sixteen_shot_class_mean_and_nearest_neighbour(packs: Path, name: str, mean: float, neighbour: float) -> None:
    data = resolve(packs / name)
    assert accuracy("protonet", data, "shot16", "test") == pytest.approx(mean, abs=0.005)
    assert accuracy("knn", data, "shot16", "test", k=1) == pytest.approx(neighbour, abs=0.005)


@pytest.mark.parametrize("name", SETS)
def test_every_set_imports_inspects_and_runs(packs: Path, name: str) -> None:
    data = resolve(packs / name)
    report = inspect_dataset(data, overlaps=name == "oxford_flowers")
    assert report["classes"] == len(data.class_names)
    if name == "oxford_flowers":
        assert report["overlap"]["test in shot16"]["near"] > 100
    few = 2 if len(data.class_names) > 300 else 1
    frame = run("incremental", ["protonet", "knn"], data, seeds=1, set={"incremental.increment": 100 * few})
    last = frame[frame["session"] == frame["session"].max()]
    assert (last["n_correct"] > 0).all()
    assert set(frame["status"]) == {"ok"}


def test_retrieval_equals_brute_force_on_real_features(packs: Path) -> None:
    data = resolve(packs / "oxford_pets")
    queries, keys = data.splits["test"].x[:300].float(), data.splits["val"]
    from bench.functional.classwise import normalise
    from bench.search import top_k

    found = top_k(queries, keys.x, 32)
    sims = normalise(queries).double().numpy() @ normalise(keys.x).double().numpy().T
    expected = np.argsort(-np.round(sims, 12), axis=1, kind="stable")[:, :32]
    assert (found.positions.numpy() == expected).all()


def test_a_noisy_web_like_memory_is_made_of_other_packs(packs: Path) -> None:
    import yaml

    manifest = yaml.safe_load((packs / "oxford_pets" / "pack.yaml").read_text())
    manifest["name"] = "pets-web"
    manifest["memory"] = {
        "seed": 0,
        "images": [
            {"split": "shot8", "wrong_class_rate": 0.2},
            {"pack": "../imagenet", "split": "shot4"},
            {"pack": "../dtd", "split": "shot1", "off_topic": 40},
        ],
    }
    (packs / "oxford_pets" / "pack.yaml").write_text(yaml.safe_dump(manifest))
    data = resolve(packs / "oxford_pets")
    sources = data.memory.images.sources.tolist()
    assert sources.count("shot8") == 296
    assert sources.count("off-topic:dtd:shot1") == 40
    assert sources.count("imagenet:shot4") > 0, "cat and dog breeds of ImageNet, found by name"
    frame = run("web-zero-shot", ["knn", "protonet", "mml"], data, seeds=1, set={"mml.epochs": 1})
    score = frame.set_index("method")["n_correct"] / frame["n_queries"].to_numpy()
    assert score["protonet"] > 0.7
    assert (score > 0.2).all(), "chance is one in eight"


def test_web_zero_shot_within_and_across_data_sets(packs: Path) -> None:
    within = run("web-zero-shot", ["zero-shot", "mml"], packs / "imagenet", seeds=1, set={"mml.epochs": 1})
    scores = within.set_index("method")["n_correct"] / within["n_queries"].to_numpy()
    assert scores["zero-shot"] > 0.75
    assert scores["mml"] > 0.7
    across = run(
        "web-zero-shot", ["zero-shot", "mml"], packs / "oxford_flowers", seeds=1,
        set={"mml.epochs": 1, "web-zero-shot.train_on": str(packs / "imagenet"), "web-zero-shot.train_images": 1,
             "web-zero-shot.memory": "support"},
    )  # fmt: skip
    by_method = across.set_index("method")
    assert by_method.loc["zero-shot", "status"] == "skipped", "98 of 102 flowers have no text"
    assert by_method.loc["mml", "n_correct"] / by_method.loc["mml", "n_queries"] > 0.5


def test_a_partial_set_of_texts_runs_on_the_classes_that_have_one(packs: Path) -> None:
    frame = run(
        "incremental", ["zero-shot", "knn"], packs / "food101", seeds=1, set={"incremental.classes": "with-texts"}
    )
    assert set(frame["status"]) == {"ok"}
    assert torch.tensor(frame["classes"].iloc[-1]).unique().numel() == 14


@pytest.mark.parametrize("name", ["oxford_pets", "oxford_flowers"])
def test_margins_and_values_find_wrong_labels(packs: Path, name: str) -> None:
    """A fifth of the labels of 16 shots is wrong, those of the judges too."""
    data = resolve(packs / name)
    support, classes = data.splits["shot16"], len(data.class_names)
    draw = Stream(0).child("wrong").numpy()
    wrong = draw.uniform(size=len(support)) < 0.2
    other = (support.labels + torch.tensor(draw.integers(1, classes, len(support)))) % classes
    spoilt = replace(support, labels=torch.where(torch.from_numpy(wrong), other, support.labels))
    task = make_task(data, tuple(range(classes)), support=spoilt, memory=Memory.empty(data.dimension))
    found = values_of(task.all_images, task, 10, "right")
    by_margin, by_value = (roc_auc_score(wrong, -found[column]) for column in ("margin", "shapley"))
    print(f"{name}: margin {by_margin:.3f}, Shapley {by_value:.3f}")
    assert by_margin > 0.97
    assert 0.75 < by_value < by_margin
