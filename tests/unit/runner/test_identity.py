"""A cell's identity: it moves with what shapes the cell's numbers, and with nothing else."""

from __future__ import annotations

import linecache
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bench.core.registry import METHODS, SCENARIOS
from bench.runner import identity
from bench.runner.config import RunConfig
from bench.runner.identity import EVALUATION, engine_fingerprint, evaluation_fingerprint, minor, recipe_fingerprint
from bench.runner.oracle import oracles
from bench.runner.plan import plan
from bench.runner.recipes import LabelledRecipe
from bench.search.approximate.faiss_recipes import HNSW
from tests import toy
from tests.architecture.imports import ROOT

FOLDERS = ("bench", "methods", "scenarios", "reports")
METHOD_NAMES = ("knn", "protonet", "mml", "ranpac", "lwf", "sklearn")
SCENARIO_NAMES = ("incremental", "lifecycle")

Cells = dict[tuple[str, str], str]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the checkout from which identities are made."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "_FOLDER", tmp_path / "bench")
    return tmp_path


def cells() -> Cells:
    """Return the identities of planned cells by scenario and method."""
    config = RunConfig(scenario=SCENARIO_NAMES, methods=METHOD_NAMES, data=[toy.dataset()], seeds=1, device="cpu")
    return {
        (spec.scenario.recipe.name, method): cell
        for spec in plan(config).episodes
        for method, cell in sorted(spec.cells.items())
    }


def prints() -> Cells:
    """Return hashes of the code of the same cells, without planning them."""
    evaluation = evaluation_fingerprint()
    recipes = {name: recipe_fingerprint(METHODS.get(name).cls()) for name in METHOD_NAMES}
    deals = {name: recipe_fingerprint(SCENARIOS.get(name).cls()) for name in SCENARIO_NAMES}
    return {(s, m): f"{evaluation}{deals[s]}{recipes[m]}" for s in deals for m in recipes}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def changed(before: Cells, after: Cells) -> set[tuple[str, str]]:
    return {key for key in before if before[key] != after[key]}


def test_words_and_what_no_number_passes_through_leave_every_cell_as_it_is(tree: Path) -> None:
    before = cells()
    edit(tree / "methods/knn.py", '"""The items that vote,', '"""Those that vote,')
    edit(tree / "bench/runner/answers.py", "import torch\n", "import torch  # to count\n")
    append(tree / "bench/runner/evaluate.py", "\n\n# A last word.\n")
    for name in (
        "bench/__init__.py",
        "bench/cli/main.py",
        "bench/cli/run.py",
        "bench/data/registry.py",
        "bench/data/web/wikipedia.py",
        "bench/explain/explain.py",
        "bench/perf/timing.py",
        "bench/results/schema.py",
        "bench/runner/config.py",
        "bench/runner/loop.py",
        "bench/runner/options.py",
        "bench/runner/plan.py",
        "bench/utils/version.py",
        "reports/tables/table.py",
        "methods/slda.py",
        "scenarios/supervised.py",
    ):
        append(tree / name, "\nCHANGED = 1\n")
    (tree / "methods/notes.md").write_text("Words beside the methods.\n")
    (tree / "methods/another.py").write_text("X = 1\n")
    assert cells() == before


SHAPES: list[tuple[str, str, str, Callable[[str, str], bool]]] = [
    (
        "methods/knn.py",
        "temperature: Annotated[float, Gt(0)] = 0.03",
        "temperature: Annotated[float, Gt(0)] = 0.02",
        lambda _, m: m == "knn",
    ),
    ("bench/functional/ridge.py", "_SAME = 1e-10", "_SAME = 1e-9", lambda _, m: m == "ranpac"),
    ("bench/learning/prototypes.py", "count: int = 16", "count: int = 15", lambda _, m: m == "mml"),
    ("bench/learning/incremental_net.py", "FEATURE_NORM = 10.0", "FEATURE_NORM = 9.0", lambda _, m: m == "lwf"),
    ("scenarios/incremental.py", "\n\n@scenario(", "\n\nX = 1\n\n\n@scenario(", lambda s, _: s == "incremental"),
    ("bench/learning/pruning.py", "_LOOKED_UP = 1 << 12", "_LOOKED_UP = 1 << 11", lambda s, _: s == "lifecycle"),
    ("bench/runner/handover.py", "QUERY_BLOCK = 8192", "QUERY_BLOCK = 4096", lambda *_: True),
    ("bench/runner/deal.py", '.child("scenario",', '.child("another",', lambda *_: True),
    ("bench/search/blocked.py", "\n\ndef ", "\n\nX = 1\n\n\ndef ", lambda *_: True),
]


@pytest.mark.parametrize(("name", "old", "new", "uses"), SHAPES, ids=[shape[0] for shape in SHAPES])
def test_a_constant_moves_the_cells_that_use_it_and_no_others(
    tree: Path, name: str, old: str, new: str, uses: Callable[[str, str], bool]
) -> None:
    before = cells()
    path = tree / name
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    after = cells()
    assert changed(before, after) == {key for key in before if uses(*key)}
    assert changed(before, after)


def test_whatever_module_a_cell_reaches_moves_it_and_no_cell_that_does_not(tree: Path) -> None:
    ours = identity._ours()
    whole = set(ours.closure(EVALUATION))
    of_method = {m: whole | set(ours.closure([METHODS.get(m).cls.__module__])) for m in METHOD_NAMES}
    of_scenario = {s: set(ours.closure([SCENARIOS.get(s).cls.__module__])) for s in SCENARIO_NAMES}
    reached = set.union(*of_method.values(), *of_scenario.values())
    before = prints()
    for module in sorted(reached):
        path = ours.path(module)
        assert path is not None
        text = path.read_text(encoding="utf-8")
        append(path, "\n_ANOTHER = 1\n")
        uses = {(s, m) for s, m in before if module in of_method[m] | of_scenario[s]}
        assert changed(before, prints()) == uses, module
        path.write_text(text, encoding="utf-8")
    assert prints() == before


def test_no_cell_reaches_the_command_line_reports_crawlers_or_another_method() -> None:
    ours = identity._ours()
    for registry in (METHODS, SCENARIOS):
        for name in registry.names():
            module = registry.get(name).cls.__module__
            reached = set(ours.closure([module, *EVALUATION]))
            rooms = {part for part in reached if part.split(".")[1] in ("cli", "reports", "perf", "results", "explain")}
            assert not rooms
            assert not {part for part in reached if part.startswith("bench.data")}
            others = {part for part in reached if part.split(".")[1] in ("methods", "scenarios")}
            assert others == {module}


def test_a_wheel_and_a_checkout_give_the_same_identities(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (tree / "bench" / "methods").is_symlink()
    linked = prints()
    installed = tmp_path_factory.mktemp("site") / "bench"
    shutil.copytree(tree / "bench", installed, symlinks=False)
    assert not (installed / "methods").is_symlink()
    monkeypatch.setattr(identity, "_FOLDER", installed)
    assert prints() == linked


def test_minor_versions_of_what_computes_count_and_patches_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    releases = {"torch": "2.4.1+cpu", "numpy": "2.1.0", "scipy": "1.14.1", "scikit-learn": "1.5.2"}
    monkeypatch.setattr(identity, "version", releases.__getitem__)
    before = evaluation_fingerprint()
    releases |= {"torch": "2.4.2+cu126", "scipy": "1.14.0"}
    assert evaluation_fingerprint() == before
    for name in releases:
        kept, releases[name] = releases[name], "9.9.9"
        assert evaluation_fingerprint() != before
        releases[name] = kept
    assert minor("2.4.1+cu126") == "2.4"


@pytest.mark.parametrize("name", ["bench/data/images/decode.py", "bench/encoders/glyphs/vocabulary.txt"])
def test_what_reads_and_encodes_images_counts_for_a_method_that_trains_from_pixels(tree: Path, name: str) -> None:
    adapter, full = METHODS.get("lwf").cls(), METHODS.get("lwf").cls(depth="full")
    before = recipe_fingerprint(adapter), recipe_fingerprint(full)
    append(tree / name, "\nX = 1\n")
    after = recipe_fingerprint(adapter), recipe_fingerprint(full)
    assert after[0] == before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize("name", ["recall", "faiss_recipes"])
def test_an_approximate_engine_counts_by_its_code_and_by_what_measures_it(tree: Path, name: str) -> None:
    engine = HNSW()
    before, cell = engine_fingerprint(engine), prints()
    append(tree / f"bench/search/approximate/{name}.py", "\nX = 1\n")
    assert engine_fingerprint(engine) != before
    assert prints() == cell


def test_an_oracle_counts_by_its_method_and_by_how_it_chooses(tree: Path) -> None:
    (oracle,) = oracles([LabelledRecipe("knn", METHODS.get("knn").cls())], ["knn.k=1,4"])
    before = oracle.code
    assert before != recipe_fingerprint(METHODS.get("knn").cls())
    append(tree / "methods/knn.py", "\nX = 1\n")
    assert oracle.code != before


PLUG_IN = """
from acme_plug.helper import SCALE
from bench.learning.prototypes import prototypes

class Plugged:
    scale = SCALE
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Any]]:
    folder = tmp_path / "site" / "acme_plug"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "helper.py").write_text("SCALE = 1\n")
    (folder / "unused.py").write_text("X = 1\n")
    (folder / "best.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(str(folder.parent))
    identity._distribution.cache_clear()
    yield folder, import_module("acme_plug.best").Plugged()
    for name in [name for name in sys.modules if name.startswith("acme_plug")]:
        del sys.modules[name]
    identity._distribution.cache_clear()


def test_a_plug_in_counts_by_its_own_modules_and_by_ours_that_it_uses(tree: Path, plug_in: tuple[Path, Any]) -> None:
    folder, recipe = plug_in
    before = recipe_fingerprint(recipe)
    append(folder / "unused.py", "Y = 1\n")
    append(folder / "best.py", "# said\n")
    append(tree / "bench/learning/pruning.py", "\nX = 1\n")
    assert recipe_fingerprint(recipe) == before
    (folder / "helper.py").write_text("SCALE = 2\n")
    scaled = recipe_fingerprint(recipe)
    assert scaled != before
    append(tree / "bench/learning/prototypes.py", "\nX = 1\n")
    assert recipe_fingerprint(recipe) != scaled


def test_a_plug_in_counts_by_the_version_of_its_distribution(plug_in: tuple[Path, Any]) -> None:
    folder, recipe = plug_in
    found = {recipe_fingerprint(recipe)}
    info = folder.parent / "acme_plug-1.0.dist-info"
    info.mkdir()
    (info / "top_level.txt").write_text("acme_plug\n")
    for release in ("1.0", "1.1"):
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-plug\nVersion: {release}\n")
        identity._distribution.cache_clear()
        assert identity._distribution("acme_plug") == ("acme-plug", release)
        found.add(recipe_fingerprint(recipe))
    assert len(found) == 3


def test_a_module_put_among_installed_packages_does_not_count_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("site-packages", "mine"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "dropped_in.py").write_text("import beside_it\n\nclass Dropped:\n    pass\n")
        (folder / "beside_it.py").write_text("X = 1\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            recipe = import_module("dropped_in").Dropped()
            before = recipe_fingerprint(recipe)
            append(folder / "beside_it.py", "Y = 1\n")
            assert (recipe_fingerprint(recipe) == before) == (place == "site-packages")
            for name in ("dropped_in", "beside_it"):
                del sys.modules[name]


def typed(source: str, file: str) -> Any:
    """Return an object of a class as a notebook makes it: its source is known line by line, and it has no file."""
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names: dict[str, Any] = {"__name__": "typed_into_a_notebook"}
    exec(compile(source, file, "exec"), names)
    return names["Typed"]()


def test_a_class_typed_into_a_notebook_counts_by_its_source() -> None:
    source = "class Typed:\n    def score(self):\n        'Says.'\n        return 1\n"
    first = recipe_fingerprint(typed(source, "<cell 1>"))
    assert first is not None
    assert recipe_fingerprint(typed(source.replace("Says", "Tells") + "# more\n", "<cell 2>")) == first
    assert recipe_fingerprint(typed(source.replace("return 1", "return 2"), "<cell 3>")) != first


def test_a_class_without_source_counts_by_its_parameters_alone() -> None:
    assert recipe_fingerprint(type("Typed", (), {"__module__": "typed_into_a_notebook"})()) is None


def test_a_class_without_source_still_counts_by_the_class_it_is_made_from(tree: Path) -> None:
    made = type("Typed", (METHODS.get("knn").cls,), {"__module__": "typed_into_a_notebook"})()
    before = recipe_fingerprint(made)
    assert before is not None
    append(tree / "methods/knn.py", "\nX = 1\n")
    assert recipe_fingerprint(made) != before
