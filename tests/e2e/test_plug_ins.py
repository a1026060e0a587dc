"""Plug-ins of every kind, from distributions that are installed in a folder beside the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.results.run_folder import read_records
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
from bench.sampling.sessions import make_task, split_disjoint

@scenario("plugged-classes")
@dataclass(frozen=True, kw_only=True)
class Plugged:
    """The first classes alone."""

    first: int = 3

    def conditions(self, dataset):
        yield {"first": self.first}

    def deal(self, dataset, condition, *, rng, source=None):
        ids = tuple(range(condition["first"]))
        queries, support, lost = split_disjoint(dataset, ids, dataset.memory)
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


def distribution(folder: Path, module: str, codes: dict[str, str]) -> dict[str, str]:
    """Lay out an installed distribution with an entry point a kind, and return the environment that finds it."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    points = ""
    for kind, code in codes.items():
        (folder / f"{module}_{kind}.py").write_text(code)
        points += f"[retrieval_bench.{kind}]\n{module} = {module}_{kind}\n"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    inherited = os.environ.get("PYTHONPATH", "")
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), inherited]))}


QUICK = ("--seeds", "1", "--quiet")


def listed(bench: Bench, kind: str, env: dict[str, str] | None = None) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of a list, and what was said beside them."""
    done = bench("list", kind, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_point_adds_one_of_each_kind_to_the_lists(bench: Bench, tmp_path: Path, kind: str) -> None:
    rows, said = listed(bench, kind, distribution(tmp_path / "site", "plugged", KINDS))
    (added,) = [row for row in rows if row["name"].startswith("plugged")]
    assert added["summary"]
    assert [row for row in rows if row is not added] == listed(bench, kind)[0], "the others are as without it"
    assert said == ""


def test_a_run_of_plug_ins_alone(bench: Bench, tmp_path: Path) -> None:
    env = distribution(tmp_path / "site", "plugged", KINDS)
    choices = ("--methods", "plugged", "--data", "plugged", "--search", "plugged:depth=3")
    done = bench("run", "--scenario", "plugged-classes", "--set", "plugged-classes.first=2", *choices, *QUICK, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = tmp_path.glob("runs/*")
    row = read_records(run).iloc[0]
    assert (row["method"], row["scenario"], row["dataset"]) == ("plugged", "plugged-classes", "plugged")
    assert json.loads(row["condition"]) == {"first": 2}


def test_an_encoder_of_a_plug_in_encodes(tmp_path: Path) -> None:
    env = distribution(tmp_path / "site", "plugged", KINDS)
    code = (
        "from PIL import Image; from bench.encoders import load_encoder; e = load_encoder('plugged:here'); "
        "print(e.name, len(e.encode_images([Image.new('RGB', (8, 8))])))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "plugged:here 1", done.stderr


def test_a_function_without_a_decorator_is_a_data_set_under_the_name_of_its_entry_point(
    bench: Bench, tmp_path: Path
) -> None:
    env = distribution(tmp_path / "site", "bare", {"datasets": "from bench.data.digits import load\n"})
    points = tmp_path / "site" / "bare-1.0.dist-info" / "entry_points.txt"
    points.write_text("[retrieval_bench.datasets]\nbare = bare_datasets:load\n")
    assert bench("run", "--data", "bare", "--methods", "protonet", *QUICK, env=env).returncode == 0


BROKEN = dict.fromkeys(KINDS, "raise RuntimeError('no\\nluck')")


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_plug_in_is_told_in_one_line_and_the_rest_works(bench: Bench, tmp_path: Path, kind: str) -> None:
    rows, said = listed(bench, kind, distribution(tmp_path / "site", "broken", BROKEN))
    assert said == (
        f"warning: plug-in 'broken' (broken_{kind}) cannot be loaded: RuntimeError: no luck; mend or uninstall it\n"
    )
    assert rows == listed(bench, kind)[0]


def test_who_asks_for_a_broken_plug_in_is_told_why(bench: Bench, tmp_path: Path) -> None:
    env = distribution(tmp_path / "site", "broken", dict.fromkeys(KINDS, "import sys; sys.exit(3)"))
    for kind, option in {
        "methods": "--methods",
        "scenarios": "--scenario",
        "datasets": "--data",
        "engines": "--search",
    }.items():
        choices = {"--methods": "protonet", "--data": "digits"} | {option: "broken"}
        done = bench("run", *[part for choice in choices.items() for part in choice], *QUICK, env=env)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1] == (
            f"bench: plug-in 'broken' (broken_{kind}) cannot be loaded: SystemExit: 3; mend or uninstall it"
        )
        assert not list(tmp_path.glob("runs/*"))


def test_a_run_goes_on_beside_a_broken_plug_in(bench: Bench, tmp_path: Path) -> None:
    env = distribution(tmp_path / "site", "broken", BROKEN)
    done = bench("run", "--methods", "protonet", "--data", "digits", *QUICK, env=env)
    assert done.returncode == 0
    assert {line.partition(" (")[0] for line in done.stderr.splitlines()} == {"warning: plug-in 'broken'"}


def test_a_plug_in_that_takes_a_name_is_left_out_and_both_are_named(bench: Bench, tmp_path: Path) -> None:
    twice = METHOD + METHOD.replace('"plugged"', '"knn"')
    rows, said = listed(bench, "methods", distribution(tmp_path / "site", "taken", {"methods": twice}))
    assert "two methods are named 'knn': bench.methods.knn.KNN and taken_methods.Plugged" in said
    assert rows == listed(bench, "methods")[0], "nothing of it is left behind"
