"""Plug-ins of every kind, from distributions that are installed in a folder beside the package."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Bench

METHOD = '''
from dataclasses import dataclass
import torch
from bench.core.registry import method

@method("plugged", paper="none", equation="none")
@dataclass(frozen=True, kw_only=True)
class Plugged:
    """A method of another distribution."""

    def build(self, task, *, rng):
        return torch.zeros(task.n_classes)

    def score(self, state, queries):
        return state.expand(len(queries), -1)
'''

SCENARIO = '''
from dataclasses import dataclass
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.sessions import apart, make_task

@scenario("plugged")
@dataclass(frozen=True, kw_only=True)
class Plugged:
    """The first classes alone."""

    first: int = 3

    def conditions(self, dataset):
        yield {"first": self.first}

    def deal(self, dataset, condition, *, rng, source=None):
        ids = tuple(range(condition["first"]))
        queries, support, lost = apart(dataset, ids, dataset.memory)
        task = make_task(dataset, ids, support=support, memory=dataset.memory)
        return Episode(sessions=(Session(task=task, queries=queries, notes=lost),))
'''

DATASET = """
from dataclasses import replace
from bench.core.registry import dataset
from bench.data.registry import resolve

@dataset("plugged", description="digits under another name")
def load():
    digits = resolve("digits")
    return replace(digits, card=replace(digits.card, name="plugged"))
"""

ENCODER = """
from dataclasses import replace
from bench.encoders import load_encoder
from bench.encoders.registry import encoder

@encoder("plugged:", description="the bundled one under another name")
def load(place, /, *, precision, device, projected):
    made = load_encoder("glyphs", precision=precision, device=device, projected=projected)
    return replace(made, name=f"plugged:{place}")
"""

ENGINE = '''
from dataclasses import dataclass
from typing import Annotated
from annotated_types import Ge
from bench.search.registry import search_engine
from bench.search import top_k

@search_engine("plugged")
@dataclass(frozen=True)
class Plugged:
    """Exact search that says it is something else."""

    depth: Annotated[int, Ge(1)] = 2

    @property
    def name(self):
        return f"plugged:depth={self.depth}"

    def search(self, queries, keys, k):
        return top_k(queries, keys, k)
'''

KINDS = {
    "methods": METHOD,
    "scenarios": SCENARIO,
    "datasets": DATASET,
    "encoders": ENCODER,
    "engines": ENGINE,
}


def distribution(folder: Path, module: str, code: str, kind: str = "methods") -> dict[str, str]:
    """Lay out an installed distribution with an entry point, and return the environment that finds it."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    target = f"{module}:load" if kind == "datasets" and "@dataset" not in code else module
    (info / "entry_points.txt").write_text(f"[retrieval_bench.{kind}]\n{module} = {target}\n")
    inherited = os.environ.get("PYTHONPATH", "")
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), inherited]))}


@pytest.fixture
def run(bench: Bench, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Return a function that runs one seed of something quick and returns the finished process."""

    def call(env: dict[str, str], *options: str):  # type: ignore[no-untyped-def]
        given = {"--methods": "protonet", "--data": "digits"} | dict(zip(options[::2], options[1::2], strict=True))
        return bench("run", *[part for pair in given.items() for part in pair], "--seeds", "1", "--quiet", env=env)

    return call


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_point_adds_one_of_each_kind_to_the_lists(bench: Bench, tmp_path: Path, kind: str) -> None:
    env = distribution(tmp_path / "site", f"plugged_{kind}", KINDS[kind], kind)
    rows = {entry["name"]: entry for entry in json.loads(bench("list", kind, "--json", env=env).stdout)}
    added = rows.pop("plugged:" if kind == "encoders" else "plugged")
    assert added["summary"]
    plain = json.loads(bench("list", kind, "--json").stdout)
    assert list(rows.values()) == plain, "the others are listed as without it"


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("methods", "--methods", "plugged"),
        ("scenarios", "--scenario", "plugged:first=2"),
        ("datasets", "--data", "plugged"),
        ("engines", "--search", "plugged:depth=3"),
    ],
)
def test_a_plug_in_runs(run, tmp_path: Path, kind: str, option: str, value: str) -> None:  # type: ignore[no-untyped-def]
    name, _, setting = value.partition(":")
    options = [option, name, "--set", f"plugged.{setting}"] if kind == "scenarios" else [option, value]
    done = run(distribution(tmp_path / "site", f"plugged_{kind}", KINDS[kind], kind), *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_an_encoder_of_a_plug_in_encodes(bench: Bench, tmp_path: Path) -> None:
    env = distribution(tmp_path / "site", "plugged_encoders", ENCODER, "encoders")
    code = (
        "from PIL import Image; from bench.encoders import load_encoder; e = load_encoder('plugged:here'); "
        "print(e.name, tuple(e.encode_images([Image.new('RGB', (8, 8))]).shape)[0])"
    )
    assert _python(code, env, tmp_path) == "plugged:here 1"


def test_a_function_of_a_plug_in_without_a_decorator_is_a_data_set(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bare = "from bench.data.digits import load\n"
    done = run(distribution(tmp_path / "site", "bare", bare, "datasets"), "--data", "bare")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_plug_in_is_told_in_one_line_and_the_rest_works(bench: Bench, tmp_path: Path, kind: str) -> None:
    code = "import sys\n@dataset(1)\n" if kind == "datasets" else "raise RuntimeError('no\\nluck')"
    env = distribution(tmp_path / "site", f"broken_{kind}", code, kind)
    done = bench("list", kind, "--json", env=env)
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    assert f"warning: plug-in 'broken_{kind}' (broken_{kind}" in done.stderr
    assert "cannot be loaded" in done.stderr
    assert done.stdout == bench("list", kind, "--json").stdout


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("methods", "--methods", "broken"),
        ("scenarios", "--scenario", "broken"),
        ("datasets", "--data", "broken"),
        ("engines", "--search", "broken"),
    ],
)
def test_who_asks_for_a_broken_plug_in_is_told_why(run, tmp_path: Path, kind: str, option: str, value: str) -> None:  # type: ignore[no-untyped-def]
    env = distribution(tmp_path / "site", "broken", "import sys; sys.exit(3)", kind)
    done = run(env, option, value)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("bench: plug-in 'broken' (broken")
    assert "cannot be loaded: SystemExit: 3; mend or uninstall it" in said
    assert not list(tmp_path.glob("runs/*"))
    assert run(env, "--methods", "zero-shot,protonet").returncode == 0


def test_a_plug_in_that_takes_a_name_is_left_out_and_both_are_named(bench: Bench, tmp_path: Path) -> None:
    twice = METHOD + METHOD.replace('"plugged"', '"knn"')
    env = distribution(tmp_path / "site", "taken_method", twice)
    done = bench("list", "methods", "--json", env=env)
    assert done.returncode == 0
    assert "two methods are named 'knn': bench.methods.knn.KNN and taken_method.Plugged" in done.stderr
    assert done.stdout == bench("list", "methods", "--json").stdout, "nothing of it is left behind"


def _python(code: str, env: dict[str, str], folder: Path) -> str:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
