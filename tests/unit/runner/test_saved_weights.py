"""Trained weights kept by one run and plugged into another memory by the next; parameters chosen by an oracle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.registry import METHODS
from bench.results.run_folder import read_records
from bench.runner.config import RunConfig
from bench.runner.deal import deal_episode
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.runner.loop import execute
from bench.runner.oracle import oracles
from bench.runner.plan import Run, plan
from bench.runner.recipes import choose_recipes
from bench.runner.saved_weights import Loaded, SavedWeights
from bench.utils.errors import BenchError
from tests import toy

SET = {"mml.epochs": 2, "mml.lr": 1e-3, "reco.epochs": 2, "reco.lr": 1e-3, "web-zero-shot.train_images": 4}
# Without validation classes the last epoch's weights are kept, which no data leaves at their start.
SET["web-zero-shot.validation"] = 0.0


def dataset(name: str = "toy", seed: int = 0, space: str = "toy") -> Dataset:
    """Return the toy data set; another name turns its vectors, so that no two data sets share one."""
    data = toy.dataset()
    turned = [dataclasses.replace(split, x=split.x.roll(seed, 1)) if seed else split for split in data.splits.values()]
    return dataclasses.replace(
        data,
        card=dataclasses.replace(data.card, name=name, space=space),
        splits=dict(zip(data.splits, turned, strict=True)),
    )


def settings(methods: str, scenario: str = "web-zero-shot") -> dict[str, object]:
    """Return what is set of those that take part."""
    return {key: value for key, value in SET.items() if key.split(".")[0] in [*methods.split(","), scenario]}


def go(folder: Path, data: Dataset, methods: str = "mml,reco,knn", **more: object) -> Run:
    scenario = str(more.pop("scenario", "web-zero-shot"))
    changed = {**settings(methods, scenario), **more.pop("also", {})}  # type: ignore[dict-item]
    chosen = {"seeds": 2, "set": changed, "out": folder, "scenario": scenario, **more}
    planned = plan(RunConfig(methods=methods.split(","), data=[data], **chosen))  # type: ignore[arg-type]
    execute(planned)
    return planned


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that trained mml and reco on two seeds and kept their weights."""
    return go(tmp_path_factory.mktemp("kept"), dataset(), save_states=True).folder


def test_a_run_keeps_one_file_a_trained_cell(kept: Path) -> None:
    frame = read_records(kept)
    trained = frame[frame["method"].isin(["mml", "reco"])]
    assert {p.stem for p in (kept / "states").iterdir()} == set(trained["cell"])
    assert len(trained) == 4
    assert not (kept / "training").exists()


def test_loaded_weights_answer_as_those_that_were_trained(kept: Path, tmp_path: Path) -> None:
    """On the very data they were trained in, a run that loads gives the answers of the run that trained."""
    again = go(tmp_path, dataset(), load=kept)
    before, after = read_records(kept), read_records(again.folder)
    columns = ["method", "seed", "class_correct", "queries_fingerprint"]
    key = ["method", "seed"]
    pd.testing.assert_frame_equal(
        before[columns].sort_values(key).reset_index(drop=True), after[columns].sort_values(key).reset_index(drop=True)
    )
    loaded = after[after["method"] == "mml"]
    assert (loaded["train_seconds"] == 0).all()
    said = loaded["details"].map(lambda text: "loaded_from" in text)
    assert said.all()
    assert "toy, seed 1" in loaded[loaded["seed"] == 1]["details"].iloc[0]
    assert not after.loc[after["method"] == "knn", "details"].str.contains("loaded_from").any()


def test_weights_are_plugged_into_another_memory_unchanged(kept: Path, tmp_path: Path) -> None:
    run = go(tmp_path, dataset("other", seed=3), "mml", load=kept)
    deal = run.episodes[0]
    seen: list[object] = []
    trained = run.trained["mml", 0]

    class Watched(METHODS.get("mml").cls):  # type: ignore[misc]
        def build(self, task: object, *, rng: object) -> object:
            state = super().build(task, rng=rng)
            seen.append(state.weights)
            return state

        def train(self, *_: object, **__: object) -> object:
            raise AssertionError("trained although weights are loaded")

    episode = deal_episode(deal)
    watched = Watched(**{k[4:]: v for k, v in SET.items() if k.startswith("mml.")})
    run_cell(watched, Handover(episode, 0), label="mml", trained=trained)
    for a, b in zip(seen[0].image.tensors(), trained.weights.image.tensors(), strict=True):  # type: ignore[attr-defined]
        assert torch.equal(a, b)
    assert read_records(run.folder)["status"].tolist() == ["ok", "ok"]


def test_what_is_loaded_is_part_of_the_identity(kept: Path, tmp_path: Path) -> None:
    data = dataset("other", seed=3)

    def name(**more: object) -> str:
        return plan(RunConfig(
            scenario="web-zero-shot", methods=["mml"], data=[data], seeds=2, set=settings("mml"),
            out=tmp_path, **more,  # type: ignore[arg-type]
        )).name  # fmt: skip

    loaded = name(load=kept)
    assert loaded != name()
    assert loaded == name(load=kept / "states")
    other = go(tmp_path / "b", dataset(), "mml", save_states=True, also={"web-zero-shot.train_images": 3}).folder
    assert name(load=other) != loaded


def test_weights_that_do_not_fit_are_refused_in_one_line(kept: Path, tmp_path: Path) -> None:
    def refused(match: str, data: Dataset | None = None, methods: str = "mml", **more: object) -> None:
        with pytest.raises(BenchError, match=match) as error:
            go(tmp_path, data or dataset("other", seed=3), methods, load=kept, **more)
        assert "\n" not in str(error.value)

    refused(r"features of toy and other has those of elsewhere; encode both", dataset("other", 3, "elsewhere"))
    refused(r"holds weights of mml with k=32 instead of 8; set the same parameters", also={"mml.k": 8})
    refused(r"holds no weights of mml for seed 7; write --seeds 0,1", seeds="7,")
    refused(r"no method of this run trains on seen classes", methods="knn,protonet")
    small = Dataset(
        card=dataclasses.replace(dataset().card, name="small"),
        class_names=dataset().class_names,
        splits={n: dataclasses.replace(s, x=s.x[:, :8]) for n, s in dataset().splits.items()},
        roles=dataset().roles,
        prompts=Features.empty(8, dataset().class_names),
        memory=type(dataset().memory).empty(8),
    )
    refused(r"trained at d = 16 and small has d = 8", small)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match="holds no trained weights; run there with --save-states"):
        Loaded(tmp_path / "empty")
    only = go(tmp_path / "only", dataset(), "mml", save_states=True).folder
    with pytest.raises(BenchError, match="holds no weights of reco; it holds those of mml"):
        go(tmp_path, dataset("other", seed=3), "mml,reco", load=only)


def test_weights_trained_on_a_query_are_not_used(kept: Path, tmp_path: Path) -> None:
    """In another scenario on the same data the queries are those of training: the cell says so and is skipped."""
    run = go(tmp_path, dataset(), "mml", load=kept, scenario="incremental")
    frame = read_records(run.folder)
    assert frame["status"].unique().tolist() == ["skipped"]
    assert frame["reason"].str.contains("were trained on").all()


def test_a_file_that_is_no_trained_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(BenchError, match="is not a saved state"):
        Loaded(tmp_path)


def test_the_space_is_that_of_the_data_trained_on(kept: Path) -> None:
    found: SavedWeights = Loaded(kept)._all[0]
    assert (found.dimension, found.space) == (16, "toy")


# -- the oracle --------------------------------------------------------------------------------------------------


def test_the_oracle_is_the_best_of_its_candidates_on_the_queries(tmp_path: Path) -> None:
    run = plan(RunConfig(
        scenario="web-zero-shot", methods=["knn"], data=[dataset()], seeds=3, out=tmp_path,
        set={"knn.k": [1, 4, 30]},
    ))  # fmt: skip
    execute(run)
    each = read_records(run.folder).pivot_table(index="seed", columns="method", values="n_correct")
    best = plan(
        RunConfig(
            scenario="web-zero-shot", methods=["knn"], data=[dataset()], seeds=3, out=tmp_path, oracle=["knn.k=1,4,30"]
        )
    )
    execute(best)
    frame = read_records(best.folder)
    oracle = frame[frame["method"] == "knn(oracle:k)"].set_index("seed")
    assert oracle["n_correct"].tolist() == each.max(axis=1).tolist()
    assert set(oracle["selection"]) == {"oracle"}
    assert set(frame.loc[frame["method"] == "knn", "selection"]) != {"oracle"}
    assert oracle["details"].str.contains('"chosen": "k=').all()
    assert oracle["method_params"].str.contains('"oracle"').all()


def test_no_method_of_a_run_becomes_an_oracle_unasked(tmp_path: Path) -> None:
    run = plan(RunConfig(scenario="web-zero-shot", methods=["knn", "mml"], data=[dataset()], seeds=1, out=tmp_path))
    assert [m.label for m in run.methods] == ["knn", "mml"]
    assert all(m.recipe.about.selection != "oracle" for m in run.methods)
    assert all(METHODS.get(name).cls.about.selection != "oracle" for name in METHODS.names())


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("knn.k=4", "is not NAME.PARAMETER=VALUE,VALUE"),
        ("knn=1,4", "is not NAME.PARAMETER=VALUE,VALUE"),
        ("mml.k=1,4", "no method of this run; add it to --methods"),
        ("knn.q=1,4", "knn has no parameter 'q'"),
        ("knn.k=0,4", "knn.k=0"),
    ],
)
def test_an_oracle_line_that_makes_no_sense_is_refused(line: str, match: str) -> None:
    _, methods = choose_recipes(["web-zero-shot"], ["knn"], {})
    with pytest.raises(BenchError, match=match):
        oracles(methods, [line])


def test_two_parameters_of_one_method_make_a_grid() -> None:
    _, methods = choose_recipes(["web-zero-shot"], ["knn"], {})
    (named,) = oracles(methods, ["knn.k=1,4", "knn.vote=majority,temperature"])
    assert named.label == "knn(oracle:k,vote)"
    assert [words for words, _ in named.recipe.candidates][:2] == ["k=1,vote=majority", "k=1,vote=temperature"]
    assert len(named.recipe.candidates) == 4
