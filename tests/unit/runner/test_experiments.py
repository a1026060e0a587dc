from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.core.registry import METHODS
from bench.data.manifest import FORMAT
from bench.data.pack import write_manifest, write_split
from bench.data.standard import declarations
from bench.results.schema import COLUMNS
from bench.runner import experiments
from bench.runner.evaluate import missing_requirement
from bench.runner.recipes import choose_recipes
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests.toy import dataset

NAMES = experiments.names()


def test_every_table_and_figure_that_can_be_run_has_a_name() -> None:
    tables = [f"t{n:02}" for n in range(1, 22) if n not in (10, 18)]  # sizes of the data sets; a sample of text
    figures = [f"f{n:02}" for n in range(3, 9)]  # the first two are diagrams
    memories = ["vm-add", "vm-prune", "vm-scale", "vm-unlearn", "vm-votes"]
    memories = sorted([*memories, "vm-hierarchy", "vm-ood", "vm-shift"])
    field = ["lp++", "proker", "sus-x", "tda", "transclip"]
    assert [*tables, *figures, "s4-5", *field, *memories, "zlap"] == NAMES


def dealt(name: str, form: experiments.Form, *, images: bool) -> set[str]:
    """Deal every episode of a form on data with or without an image memory; return the scenarios.

    Every method of the form can run on every episode.
    """
    # As many classes as three parts need of which one has those of a few-shot episode.
    data, source = dataset(40, images=images), dataset(40, images=images, name="other")
    settings = experiments.read(name).settings(form, [data.name])
    scenarios, methods = choose_recipes([settings["scenario"]], settings["methods"], settings["set"])
    for named in scenarios:
        trained_on = source if getattr(named.recipe, "train_on", None) else None
        for condition in named.recipe.conditions(data):
            episode = named.recipe.deal(data, condition, rng=Stream(0), source=trained_on)
            lacks = {m.label: missing_requirement(m.recipe.about, episode) for m in methods}
            assert lacks == dict.fromkeys(lacks)
    return {named.recipe.name for named in scenarios}


@pytest.mark.parametrize("name", NAMES)
def test_its_scenario_methods_and_parameters_are_valid_in_the_papers_form_and_on_glyphs(name: str) -> None:
    experiment = experiments.read(name)
    assert experiment.title
    assert experiment.of
    assert experiment.shows
    assert experiment.prepare
    assert experiment.data
    settings = experiment.settings(experiments.Form(), experiment.data)
    assert choose_recipes([settings["scenario"]], settings["methods"], settings["set"])
    assert dealt(name, experiment.glyphs, images=True) == {experiment.scenario}


PICTURES = ("f04", "f08")
"""Galleries show images, which packs of features do not have."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PICTURES])
def test_its_form_for_feature_packs_runs_without_an_image_memory(name: str) -> None:
    experiment = experiments.read(name)
    assert experiment.packs is not None
    assert experiment.packs.data
    assert experiment.packs.simulated
    assert dealt(name, experiment.packs, images=False) == {experiment.packs.scenario or experiment.scenario}


def test_data_without_an_image_memory_gets_the_form_for_feature_packs(tmp_path: Path) -> None:
    """A pack with a memory gets the paper's form, and so does a pack beside such a one."""
    for name, memory in (("bare", {}), ("web", {"memory": {"images": [{"split": "train"}]}})):
        split = write_split(tmp_path / name, "train", torch.eye(4), torch.arange(4) % 2)
        manifest = {"format": FORMAT, "name": name, "dimension": 4, "classes": ["a", "b"], "splits": {"train": split}}
        write_manifest(tmp_path / name, {**manifest, "roles": {"support": ["train"], "query": ["train"]}, **memory})
    bare, web = str(tmp_path / "bare"), str(tmp_path / "web")
    form = experiments.load("t07", [bare])
    assert form["scenario"] == "memory-noise"
    assert form["set"] == {
        "knn.vote": "majority",
        "memory-noise.modality": "images",
        "memory-noise.rates": [0.0, 0.2],
        "memory-noise.evidence": 1000,
    }
    assert form["data"] == [bare]
    paper = {"knn.vote": "majority", "web-zero-shot.memory": ["declared", "support"], "web-zero-shot.evidence": 1000}
    assert experiments.load("t07", [web])["set"] == paper
    assert experiments.load("t07", [bare, web])["set"] == paper


@pytest.mark.parametrize("name", NAMES)
def test_absent_data_says_what_to_prepare(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_PACKS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    experiment = experiments.read(name)
    with pytest.raises(BenchError) as raised:
        experiments.load(name)
    message = str(raised.value)
    assert "\n" not in message
    assert experiment.prepare in message
    assert all(data in message for data in experiment.data)


def test_the_papers_data_sets_have_the_names_under_which_they_are_prepared() -> None:
    for name in NAMES:
        experiment = experiments.read(name)
        trained_on = experiment.set.get("web-zero-shot.train_on")
        assert {*experiment.data, *([trained_on] if trained_on else [])} <= set(declarations())
        assert {number.dataset for number in experiments.published(name)} <= {*declarations(), "average"}


def test_data_named_by_the_user_takes_the_place_of_the_papers() -> None:
    settings = experiments.load("t12", ["digits"])
    assert settings == {
        "scenario": "memory-size",
        "methods": ["knn", "mml-prototypes", "mml-no-knn", "mml"],
        "data": ["digits"],
        "seeds": 5,
        "set": {"knn.k": 32, "knn.vote": "majority", "memory-size.sizes": [1, 2, 4, 8, 16]},
    }
    with pytest.raises(BenchError, match="lacks the data imagenet;"):
        experiments.load("t01", ["digits"])


def test_glyphs_have_a_form_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "missing", lambda data: [])
    assert experiments.load("t12", ["glyphs"])["set"]["memory-size.sizes"] == [1, 2, 4, 8, None]
    assert experiments.load("t01", ["glyphs"])["set"]["web-zero-shot.train_on"] is None
    assert experiments.load("t12", ["glyphs@ViT-B-32:openai"])["set"]["memory-size.sizes"] == [1, 2, 4, 8, None]


def test_an_unknown_experiment_suggests_the_nearest() -> None:
    with pytest.raises(BenchError, match="unknown experiment 'vm-unlearning'; did you mean 'vm-unlearn'"):
        experiments.load("vm-unlearning")


def test_the_listing_is_plain_and_in_the_order_of_the_paper() -> None:
    found = experiments.listing()
    assert [entry["name"] for entry in found] == NAMES
    assert all({"name", "summary", "prepare", "missing_data", "glyphs", "packs"} <= set(entry) for entry in found)
    assert json.loads(json.dumps(found)) == found
    t07 = next(e for e in found if e["name"] == "t07")
    assert t07["packs"]["scenario"] == "memory-noise"
    assert t07["glyphs"]["data"] == ["glyphs"]
    assert t07["glyphs"]["parameters"]["web-zero-shot.evidence"] == 200
    assert next(e for e in found if e["name"] == "t05")["missing_data"] == ["imagenet_s", "cub"]


@pytest.mark.parametrize("name", [n for n in NAMES if "mml" in experiments.read(n).methods and n != "s4-5"])
def test_mml_stands_beside_prototypes_alone_and_an_adapter_without_neighbours(name: str) -> None:
    """Without them a reader credits retrieval with what either gives; section 4.5 is about cost."""
    assert {"mml-prototypes", "mml-no-knn"} <= {m.split(":")[0] for m in experiments.read(name).methods}


def test_published_numbers_belong_to_an_experiment_and_name_its_methods_and_data() -> None:
    METHODS.load()
    for name in NAMES:
        experiment = experiments.read(name)
        for number in experiments.published(name):
            assert number.dataset in {*experiment.data, "imagenet", "average"}
            assert number.method is None or number.method in {m.split(":")[0] for m in experiment.methods}
            assert number.source.endswith((experiment.of, "as the README of its code has it"))
    assert not experiments.published("t01")  # an image in the paper's text


def test_published_numbers_say_how_many_classes_were_asked_about() -> None:
    declared = {name: card.classes for name, card in declarations().items()}
    # Of a split the unseen classes are asked about.
    asked = {**declared, "cub": 50, "imagenet_s": 200, "average": None}
    for name in NAMES:
        for number in experiments.published(name):
            assert number.classes == asked[number.dataset]
            assert (number.measure is None) == (number.unit == "top-1 %")
            assert number.measure is None or number.measure in COLUMNS


def test_published_averages_are_the_means_of_their_rows() -> None:
    numbers = experiments.published("t14")
    for label in {n.label for n in numbers}:
        row = {n.dataset: n.value for n in numbers if n.label == label}
        average = row.pop("average")
        assert len(row) == 11
        assert abs(sum(row.values()) / 11 - average) < 0.051


def test_a_misspelt_setting_in_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = experiments._content("t05.yaml")
    for wrong, message in (
        ({"tittle": "x"}, "unknown setting 'tittle'; did you mean 'title'"),
        ({"packs": {"sets": {}}}, "unknown setting 'sets'; did you mean 'set'"),
    ):
        monkeypatch.setattr(experiments, "_content", lambda file, wrong=wrong: content | wrong)
        experiments.read.cache_clear()
        with pytest.raises(BenchError, match=message):
            experiments.read("t05")


def test_published_numbers_are_read_without_torch() -> None:
    reads = "from bench.runner import experiments; assert experiments.published('t05')"
    code = f"import sys; {reads}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
