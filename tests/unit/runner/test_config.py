"""The one list of options: on the command line, in YAML, in Python and in workers."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

import bench as package
from bench.cli.main import main
from bench.cli.run import run as command
from bench.core.registry import METHODS
from bench.learning.training_options import TrainingOptions
from bench.methods.icarl import ICaRL
from bench.methods.knn import KNN
from bench.runner import api, experiments
from bench.runner.config import RunConfig
from bench.runner.parallel.job_spec import JobSpec, job_spec
from bench.runner.plan import plan
from bench.runner.recipes import choose_recipes
from bench.scenarios.few_to_many_shot import FewToManyShot
from bench.scenarios.incremental import Incremental
from bench.utils.errors import BenchError, Unsuitable
from tests import toy

OTHER: dict[str, tuple[list[str], Any]] = {
    "scenario": (["--scenario", "supervised"], "supervised"),
    "experiment": (["--experiment", "t05", "--data", "glyphs"], "t05"),
    "methods": (["--methods", "knn,knn:k=3"], ["knn", "knn:k=3"]),
    "data": (["--data", "digits", "--data", "glyphs"], ["digits", "glyphs"]),
    "encoder": (["--encoder", "glyphs", "--encoder", "photos"], ["glyphs", "photos"]),
    "texts": (["--texts", "synthesised"], "synthesised"),
    "templates": (["--templates", "photo"], "photo"),
    "seeds": (["--seeds", "0,7"], [0, 7]),
    "out": (["--out", "elsewhere"], "elsewhere"),
    "set": (["--set", "knn.k=3"], {"knn.k": 3}),
    "device": (["--device", "cpu"], "cpu"),
    "precision": (["--precision", "bf16"], "bf16"),
    "search": (["--search", "hnsw"], "hnsw"),
    "jobs": (["--jobs", "2"], 2),
    "ray": (["--ray", "local"], "local"),
    "shard": (["--shard", "1/2"], "1/2"),
    "load": (["--load", "there"], "there"),
    "save_states": (["--save-states"], True),
    "latency": (["--latency"], True),
    "tune": (["--tune", "3"], 3),
    "selection": (["--selection", "validation-split"], "validation-split"),
    "calibrate": (["--no-calibrate"], False),
    "oracle": (["--oracle", "knn.k=1,4"], ["knn.k=1,4"]),
    "fail_fast": (["--fail-fast"], True),
    "progress": (["--quiet"], False),
}
"""A value of each option that is not its default, as it is written on the command line and as a plain value."""

ENCODING = ("encoder", "texts", "templates")
"""What makes packs of images before a run is planned."""


def test_each_option_has_its_example_here() -> None:
    assert set(OTHER) == set(RunConfig.model_fields)


def of_the_command(arguments: list[str]) -> RunConfig:
    given = command.make_context("run", list(arguments)).params
    return RunConfig.merged(given.pop("config"), {k: v for k, v in given.items() if v not in (None, ())})


@pytest.mark.parametrize("name", RunConfig.model_fields)
def test_an_option_is_one_of_the_command_of_files_of_python_and_of_workers(name: str, tmp_path: Path) -> None:
    words, value = OTHER[name]
    beside = {"data": "glyphs"} if name == "experiment" else {}
    default, chosen = RunConfig(), RunConfig.merged(None, {name: value, **beside})
    assert getattr(chosen, name) != getattr(default, name)
    assert of_the_command(words) == chosen
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({name: value, **beside}))
    assert RunConfig.merged(file, {}) == chosen
    assert name in inspect.signature(package.run).parameters
    assert RunConfig(**json.loads(chosen.model_dump_json())) == chosen


def test_python_hands_on_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    class Planned(Exception):  # noqa: N818 - it carries what was asked for
        """What a run is planned from."""

    def stop(config: RunConfig) -> None:
        raise Planned(config)

    monkeypatch.setattr(api, "plan", stop)
    plain = {name: value for name, (_, value) in OTHER.items() if name not in {"experiment", *ENCODING}}
    with pytest.raises(Planned) as caught:
        package.run(**plain)
    assert caught.value.args[0] == RunConfig(**plain)


def test_workers_get_every_option(tmp_path: Path) -> None:
    run = plan(RunConfig(methods=["knn"], data="digits", seeds=1, out=tmp_path, precision="bf16", fail_fast=True))
    again = JobSpec.from_json(job_spec(run, [], 1).to_json()).plan(run.folder)
    assert again.config == run.config.model_copy(update={"device": run.device})


@pytest.mark.parametrize("name", sorted(set(OTHER) - {"experiment", "load", *ENCODING}))
def test_only_what_shapes_records_is_part_of_a_runs_identity(name: str, tmp_path: Path) -> None:
    def cells(**options: Any) -> set[str]:
        run = plan(RunConfig(**{"methods": "knn", "data": "digits", "seeds": 1, "device": "cpu", **options}))
        return {cell for spec in run.episodes for cell in spec.cells.values()}

    how = {"out", "jobs", "ray", "shard", "fail_fast", "progress", "device"}
    more = {"data", "methods", "seeds", "oracle"}
    before, after = cells(out=tmp_path), cells(**{"out": tmp_path, name: OTHER[name][1]})
    if name in how:
        assert after <= before
    elif name in more:
        assert after > before or name == "seeds"
    else:
        assert not after & before


def test_a_method_that_trains_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[TrainingOptions] = []

    def build(self: Any, task: Any, *, rng: Any) -> Any:
        told.append(self.training_options)
        raise Unsuitable("has heard enough")

    monkeypatch.setattr(ICaRL, "build", build)
    frame = package.run("supervised", ["icarl"], "digits", 1, out=tmp_path, precision="bf16", progress=False).frame
    assert frame["precision"].tolist() == ["bf16"]
    (folder,) = tmp_path.iterdir()
    options = TrainingOptions(
        progress=False, checkpoints=folder / "training" / frame["cell"][0] / "0", precision="bf16"
    )
    assert told == [options]
    assert "training_options" not in json.loads(frame["method_params"][0])


def test_options_win_over_an_experiment_and_that_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seeds: 9\ndata: digits\nscenario: supervised\njobs: 3\nset: {knn.k: 1, knn.vote: temperature}\n")
    told = experiments.load("t05", ["glyphs"])
    merged = RunConfig.merged(file, {"experiment": "t05", "data": ["glyphs"], "seeds": "2", "set": ["knn.k=5"]})
    assert merged.scenario == (told["scenario"],)
    assert merged.methods == tuple(told["methods"])
    assert merged.seeds == (0, 1)
    assert merged.jobs == 3
    assert merged.set == {"knn.k": 5, "knn.vote": "temperature", **told["set"]}


def test_a_file_that_names_an_experiment_may_differ_from_it(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("experiment: t05\ndata: glyphs\nseeds: 2\n")
    merged = RunConfig.merged(file, {})
    assert merged.experiment == "t05"
    assert merged.seeds == (0, 1)
    assert merged.data == ("glyphs",)
    assert merged.methods == tuple(experiments.load("t05", ["glyphs"])["methods"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sedes": 3}, "unknown option 'sedes'; did you mean 'seeds'?"),
        ({"device": "gpu"}, "unknown device 'gpu'; write auto, cpu, cuda or cuda:N"),
        ({"precision": "fp16"}, "--precision 'fp16' is not one of fp32, bf16"),
        ({"seeds": "none"}, "--seeds 'none' is neither a count nor a list; write 5 or 0,3,7"),
        ({"jobs": "many"}, "--jobs 'many': input should be a valid integer"),
        ({"save_states": "perhaps"}, "--save-states 'perhaps': input should be a valid boolean"),
        ({"set": 3}, "'set' must hold parameters by name"),
        ({"shard": "5/4"}, "--shard '5/4' is not NUMBER/COUNT"),
        ({"methods": []}, "nothing to run"),
        ({"methods": [5]}, "unknown method '5'"),
        ({"data": 5}, "5"),
    ],
)
def test_a_bad_option_is_one_line_in_python_too(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError) as caught:
        package.run(**{"methods": ["knn"], "data": "digits", "seeds": 1, **options})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_help_shows_every_option_and_its_default() -> None:
    context = click.Context(command, info_name="run")
    said = " ".join(command.get_help(context).split())
    for name in RunConfig.model_fields:
        assert f"--{name.replace('_', '-')}" in said
    assert "[default: fp32]" in said
    assert "--progress / --quiet" in said
    assert len({option.name for option in command.get_params(context)}) == len(command.get_params(context))


def test_it_is_five_calls_from_the_command_to_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[str] = []

    def build(self: Any, task: Any, *, rng: Any) -> Any:
        frame = inspect.currentframe()
        while frame is not None and calls[-1:] != ["run"]:
            calls.append(frame.f_code.co_qualname)
            frame = frame.f_back
        raise ValueError("that is all")

    monkeypatch.setattr(KNN, "build", build)
    done = CliRunner().invoke(main, ["run", "--methods", "knn", "--data", "digits", "--seeds", "1", "--quiet"])
    assert done.exit_code == 1, done.output
    assert calls[::-1][:-1] == ["run", "execute", "perform", "run_cell", "build_session"]


# -- recipes that check themselves -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("vote", "foo"), ("k", -5), ("k", "many"), ("temperature", 0), ("kk", 3)],
)
def test_construction_and_the_command_refuse_a_parameter_alike(parameter: str, value: Any) -> None:
    with pytest.raises(BenchError) as made:
        KNN(**{parameter: value})
    with pytest.raises(BenchError) as named:
        choose_recipes(["incremental"], ["knn"], {f"knn.{parameter}": value})
    assert str(made.value) == str(named.value)
    assert "\n" not in str(made.value)
    assert parameter in str(made.value)


def test_scenarios_check_themselves_too() -> None:
    with pytest.raises(BenchError, match=r"incremental.base=-1: input should be greater than or equal to 0"):
        Incremental(base=-1)


def test_construction_converts_as_the_command_does() -> None:
    assert KNN(k="16", temperature="1e-1") == KNN(k=16, temperature=0.1)  # type: ignore[arg-type]


def test_two_instances_of_one_class_run_side_by_side() -> None:
    frame = package.run("supervised", [KNN(k=1), KNN(k=8, vote="majority"), KNN(), "knn:k=2"], toy.dataset(), 1).frame
    assert set(frame["method"]) == {"knn(k=1)", "knn(k=8,vote=majority)", "knn", "knn(k=2)"}
    assert set(frame["status"]) == {"ok"}
    with pytest.raises(BenchError, match=r"method 'knn\(k=1\)' is named twice"):
        package.run("supervised", [KNN(k=1), "knn:k=1"], toy.dataset(), 1)


@pytest.mark.parametrize("values", [(1, 1), (2, 1, 2)])
def test_a_value_that_is_swept_twice_is_refused(values: tuple[int, ...]) -> None:
    with pytest.raises(
        BenchError, match=r"'few-to-many-shot.*' has one condition twice \(.*shots [12].*give each .* once"
    ):
        package.run(FewToManyShot(shots=values, memory="none"), KNN(), toy.dataset(), 1)


class Plain:
    """A method that is no dataclass."""

    name = "plain"
    about = KNN.about

    def __init__(self, k: int = 3, scale: float = 1.0) -> None:
        self.k, self.scale = k, scale

    def build(self, task: Any, *, rng: Any) -> Any:
        return KNN(k=self.k).build(task, rng=rng)

    def score(self, state: Any, queries: Any) -> Any:
        return self.scale * KNN(k=self.k).score(state, queries)


def test_a_method_may_be_a_plain_class() -> None:
    given: list[Any] = [Plain, Plain(k=1), KNN(k=1)]
    frame = package.run("supervised", given, toy.dataset(), 1, set={"plain.scale": 2}).frame.set_index("method")
    assert set(frame.index) == {"plain", "plain(k=1)", "knn(k=1)"}
    assert json.loads(frame.loc["plain", "method_params"]) == {"k": 3, "scale": 2.0}
    assert frame.loc["plain(k=1)", "n_correct"] == frame.loc["knn(k=1)", "n_correct"]
    with pytest.raises(BenchError, match=r"plain\.k='many'"):
        package.run("supervised", [Plain], toy.dataset(), 1, set={"plain.k": "many"})
    with pytest.raises(BenchError, match=r"plain\.k='many'"):
        package.run("supervised", [Plain(k="many")], toy.dataset(), 1)  # type: ignore[arg-type]


def test_a_registered_plain_class_checks_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_known", dict(METHODS._known))

    @package.method("plainer", paper="none", equation="none")
    class Plainer(Plain):
        """As the other."""

    assert Plainer(k="7").k == 7  # type: ignore[arg-type]
    with pytest.raises(BenchError, match=r"plainer has no parameter 'q'"):
        Plainer(q=7)  # type: ignore[call-arg]


def test_the_help_of_a_run_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from bench.cli.main import main; "
        "r = CliRunner().invoke(main, ['run', '--help']); assert r.exit_code == 0, r.output; "
        "print([m for m in ('torch', 'pandas', 'numpy', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [{"knn": 1}, [{"knn": 1}], [None], [True]])
def test_what_is_no_list_of_names_is_refused(value: object) -> None:
    with pytest.raises(BenchError, match="neither a name nor a list of names"):
        RunConfig.merged(None, {"methods": value})


def test_the_demo_is_the_default_run() -> None:
    makefile = (Path(__file__).parents[3] / "Makefile").read_text()
    (line,) = (line for line in makefile.splitlines() if "bench run --methods zero-shot" in line)
    words = line.split()
    named = dict(zip(words[2::2], words[3::2], strict=True))
    default = RunConfig()
    assert RunConfig(methods=named["--methods"], seeds=named["--seeds"]) == default
    assert len(default.seeds) >= 3  # with two an interval says next to nothing
